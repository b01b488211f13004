"""Why a photograph is not in the model, in words, and what would help."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xfeat_cli.report.graph import LEAST_INLIERS, Graph
from xfeat_cli.report.inputs import Look, Pairs, PhotoFacts

_DARK, _BRIGHT, _FLAT = 28.0, 232.0, 10.0
_BLURRED = 0.35
_FEW = 0.25


@dataclass(frozen=True)
class Reason:
    """kind: for programs. text: for people, a clause with a capital and a full stop."""

    kind: str
    text: str


class Reasons:
    """Judges photographs by the others of the collection."""

    def __init__(self, photos: list[PhotoFacts], pairs: Pairs, graph: Graph, registered: list[bool]) -> None:
        self._photos = photos
        self._graph = graph
        self._registered = registered
        counts = [photo.keypoints for photo in photos if photo.keypoints]
        self._usual_keypoints = float(np.median(counts)) if counts else 0.0
        sharp = [photo.look.sharpness for photo in photos if photo.look is not None]
        self._usual_sharpness = float(np.median(sharp)) if sharp else 0.0
        self._partners: dict[int, list[tuple[int, int, int]]] = {}
        wanted = {row for row, there in enumerate(registered) if not there}
        for (one, other), matches, inliers in zip(pairs.images.tolist(), pairs.matches, pairs.inliers, strict=True):
            for image, partner in ((one, other), (other, one)):
                if image in wanted:
                    self._partners.setdefault(image, []).append((int(inliers), int(matches), partner))

    def of(self, row: int, other_model: int | None) -> Reason:
        """Return the likely reason for a photograph that the largest model lacks; other_model: the one that
        holds it.
        """
        photo = self._photos[row]
        partners = self._partners.get(row, [])
        linked = [partner for partner in partners if partner[0] >= LEAST_INLIERS]
        if photo.problem:
            return Reason("unreadable", f"It could not be read: {photo.problem}.")
        if other_model is not None:
            return Reason(
                "other model", f"It is in model {other_model}: too little joins that part of the scene to the largest."
            )
        if photo.keypoints is not None and photo.keypoints < max(_FEW * self._usual_keypoints, 1):
            return Reason("few keypoints", f"It has {photo.keypoints:,} keypoints: {self._appearance(photo.look)}.")
        if not partners:
            return Reason("not paired", "It has no pair with matches: it was not paired, or nothing in it matched.")
        if not linked:
            inliers, matches, partner = max(partners)
            because = self._odd_look(photo.look)
            return Reason(
                "not verified",
                f"None of its {len(partners):,} pairs was verified; the best, with {self._photos[partner].name}, has "
                f"{inliers:,} of {matches:,} matches. {because or 'It shows something else, or from too far away.'}",
            )
        if self._graph.component[row] != 0:
            size = self._graph.sizes[int(self._graph.component[row])]
            return Reason("other component", f"It is linked only within a group of {size:,} photographs.")
        inside = [partner for partner in linked if self._registered[partner[2]]]
        if not inside:
            return Reason("partners missing", "It is linked only to photographs that are missing too.")
        inliers, _, partner = max(inside)
        return Reason(
            "too few points",
            f"It is linked to {len(inside):,} registered photographs (best: {self._photos[partner].name}, {inliers:,} "
            "verified matches), but too few of its matches are 3-D points, or they disagree.",
        )

    def _appearance(self, look: Look | None) -> str:
        odd = self._odd_look(look)
        return odd.removesuffix(".").replace("It is ", "it is ") if odd else "blurred, dark or without texture, perhaps"

    def _odd_look(self, look: Look | None) -> str:
        if look is None:
            return ""
        if look.brightness < _DARK:
            return "It is very dark."
        if look.brightness > _BRIGHT:
            return "It is overexposed."
        if look.contrast < _FLAT:
            return "It is nearly without texture."
        if look.sharpness < _BLURRED * self._usual_sharpness:
            return "It is much less sharp than the others: blurred, perhaps."
        return ""
