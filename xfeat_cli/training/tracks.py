"""Photographs of one scene with the places where a COLMAP model saw its points: real correspondences to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xfeat_cli.coordinates import rescale
from xfeat_cli.errors import UsageError
from xfeat_cli.images import ImageFile
from xfeat_cli.pairing.models import covisible_pairs
from xfeat_cli.sfm.tracks import View
from xfeat_cli.training.photos import Kept, Photos, read_kept

MIN_SHARED = 30
"""Least points that two photographs must both show to be learned from."""

_MOST_PAIRS = 10_000
_MOST_POINTS = 1000
"""Most pairs of photographs, and points of a pair, that are kept: 160 MB of coordinates at most."""

_Pair = tuple[int, int, Tensor]


class Tracks(Sequence[_Pair]):
    """Pairs of photographs that show the same points: the indices of both in `photos`, and (M, 4) float32 on the CPU,
    x, y in the first and x, y in the second, pixels of the photographs as they are kept."""

    def __init__(self, photos: Photos, pairs: Sequence[_Pair]) -> None:
        self.photos = photos
        self._pairs = [(one, two) for one, two, _ in pairs]
        self._starts = [0, *accumulate(len(points) for _, _, points in pairs)]
        self._points = torch.cat([points for _, _, points in pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> _Pair:  # type: ignore[override]
        return (*self._pairs[index], self._points[self._starts[index] : self._starts[index + 1]])

    def to(self, device: torch.device) -> Tracks:
        """The same, with the photographs held by a device; on a CPU where other processes see them."""
        self.photos.to(device)
        self._points.share_memory_()  # type: ignore[no-untyped-call]
        return self

    def digest(self) -> str:
        """BLAKE2b of all pixels, pairs and points."""
        told = hashlib.blake2b(repr((self.photos.digest(), self._pairs, self._starts)).encode(), digest_size=16)
        told.update(self._points.numpy().tobytes())
        return told.hexdigest()


def load_tracks(
    views: Sequence[View],
    images: Path,
    longest: int,
    most: int,
    seed: int,
    without: Collection[Path],
    report: Callable[[str], None],
) -> Tracks:
    """Photographs of the folder `images` by the names of a model's views, at most `most`, and their common points.

    longest: of the photographs as they are kept, px. without: resolved paths of photographs to leave out. What is
    missing or cannot be used goes to `report`. Raises UsageError when no pair is left.
    """
    files = [ImageFile(str(images / view.name), images / view.name) for view in views]
    here = [i for i, file in enumerate(files) if file.path.is_file()]
    if len(here) < len(files):
        first = next(view.name for view, file in zip(views, files, strict=True) if not file.path.is_file())
        report(f"{len(files) - len(here)} of the model's {len(files)} images are not in {images}, such as {first}")
    allowed = [i for i in here if files[i].path.resolve() not in without]
    random = np.random.default_rng((seed, 2))
    pairs = covisible_pairs([views[i].ids for i in allowed], MIN_SHARED)
    chosen = [(allowed[one], allowed[two]) for one, two in _within(random.permutation(pairs), most)]
    needed = sorted({i for pair in chosen for i in pair})
    kept = read_kept([files[i] for i in needed], longest, report)
    seen = {i: _seen(views[i], kept[files[i].name], report) for i in needed if files[i].name in kept}
    found = [(one, two, _common(seen[one], seen[two], random)) for one, two in chosen if one in seen and two in seen]
    found = [pair for pair in found if len(pair[2]) >= MIN_SHARED]
    if not found:
        raise UsageError(
            f"nothing to learn from the model's {len(views)} images: {len(here)} are in {images}, and no two of those "
            f"show {MIN_SHARED} common points; give the folder that the model was made from, or a model of more points"
        )
    used = sorted({i for one, two, _ in found for i in (one, two)})
    place = {i: number for number, i in enumerate(used)}
    photos = Photos([kept[files[i].name].pixels for i in used])
    return Tracks(photos, [(place[one], place[two], torch.from_numpy(points)) for one, two, points in found])


def _within(pairs: np.ndarray, most: int) -> list[tuple[int, int]]:
    """The first of the pairs (P, 2) that together need at most `most` images."""
    images: set[int] = set()
    chosen: list[tuple[int, int]] = []
    for one, two in pairs.tolist():
        if len(images) + (one not in images) + (two not in images) <= most:
            images |= {one, two}
            chosen.append((one, two))
        if len(chosen) == _MOST_PAIRS:
            break
    return chosen


def _seen(view: View, photo: Kept, report: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray]:
    """Points that a photograph shows: ids (N,) and places (N, 2), pixels of the photograph as it is kept."""
    if photo.size != view.size:
        stored, modelled = ("x".join(map(str, size)) for size in (photo.size, view.size))
        report(f"left out: {view.name} is {stored} px, the model's camera {modelled}: not what the model was made of")
        return np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    kept_size = np.array(photo.pixels.shape[::-1])
    places = rescale(view.points.astype(np.float64), kept_size / photo.shown)
    inside = ((places >= -0.5) & (places <= kept_size - 0.5)).all(1)
    return view.ids[inside], places[inside].astype(np.float32)


def _common(
    one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """(M, 4) places of the points that both show."""
    _, first, second = np.intersect1d(one[0], two[0], assume_unique=True, return_indices=True)
    points = np.column_stack([one[1][first], two[1][second]])
    return points if len(points) <= _MOST_POINTS else points[np.sort(random.permutation(len(points))[:_MOST_POINTS])]
