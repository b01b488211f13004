"""What refinement writes: matches that agree, or all of a pair, and the keypoints that they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from xfeat_cli.config import RefineConfig
from xfeat_cli.jobs.adjustment import Adjustment
from xfeat_cli.jobs.progress import Summary
from xfeat_cli.refinement.selection import UNREFINED, Keypoints, Selection, select
from xfeat_cli.refinement.tracks import Tracks
from xfeat_cli.store.layout import keypoints_entry, matches_entry
from xfeat_cli.store.reader import KeypointsReader, LinksReader, MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import FloatArray, Links, Matches, Pair

_CACHED_IMAGES = 256


@dataclass
class RefineSummary(Summary):
    """What refinement did; the counts are over all pairs, those of earlier runs included. count: registered matches.

    refined_pairs: those that keep the matches that agree; the other pairs keep all of theirs. matches: what there was.
    kept_matches: what is left. moved_px: median distance that the moved keypoints moved. uncertainty_px: their median
    standard deviation.
    """

    keypoints_file: str = ""
    pairs: int = 0
    refined_pairs: int = 0
    matches: int = 0
    kept_matches: int = 0
    moved_px: float = 0.0
    uncertainty_px: float = 0.0


@dataclass
class Source:
    """What there is to write. pairs: by entry. adjustment: the solution for all keypoints."""

    pairs: Mapping[str, Pair]
    features: KeypointsReader
    matches: MatchesReader
    links: LinksReader
    adjustment: Adjustment
    config: RefineConfig
    _second: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    _groups: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.solved = lru_cache(_CACHED_IMAGES)(self.adjustment.of)
        self.seconds = lru_cache(_CACHED_IMAGES)(self._seconds)

    def selected(self, entry: str, pair: Pair) -> Selection:
        """Return the matches of a pair that are kept."""
        matches = self.matches.load(*pair)
        assert isinstance(matches, Matches)
        links = self.links.load(entry) if entry in self.links else Links.empty()
        return select(matches, links, self.solved(pair[0]), self.solved(pair[1]), self.config)

    def plan(self) -> None:
        """Find out which pairs use keypoints that have not moved, and which keypoints those are.

        They are the pairs that keep all their matches, unless nothing else connects their images: with keypoints of
        their own they would see none of the points that other pairs make, and a reconstruction would fall apart.
        """
        names = self.features.names()
        rank = {name: number for number, name in enumerate(names)}
        groups = Tracks(np.arange(len(names)))
        left = []
        for entry, pair in self.pairs.items():
            if self.selected(entry, pair).refined:
                groups.connect(*(np.array([rank[name]]) for name in pair))
            else:
                left.append((entry, pair))
        self._groups = dict(zip(names, groups.roots(np.arange(len(names))).tolist(), strict=True))
        for entry, pair in left:
            if self.connected(pair):
                for name, index in zip(pair, self.selected(entry, pair).indices.T, strict=True):
                    needed = self._second.setdefault(name, np.zeros(self.features.count(name), bool))
                    needed[index[self.solved(name).moved[index]]] = True

    def connected(self, pair: Pair) -> bool:
        """Return whether refined pairs connect the images of a pair, directly or through others."""
        return self._groups[pair[0]] == self._groups[pair[1]]

    def _seconds(self, name: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the keypoints of an image that it has a second time, and for each of its keypoints the number of the
        one that has not moved.
        """
        count = self.features.count(name)
        needed = self._second.get(name, np.zeros(count, bool))
        numbers = np.where(needed, count + np.cumsum(needed) - 1, np.arange(count))
        return np.flatnonzero(needed), numbers


def write_refined(source: Source, keypoints: Store, matches: Store, summary: RefineSummary) -> None:
    """Write every image of `source` and every pair, and count them in the summary. Raises StoreError."""
    source.plan()
    moved, uncertainty = [], []
    for name in source.features.names():
        solved = source.solved(name)
        _put_image(keypoints, name, source, solved)
        unit = source.features.uncertainty(name) or 1.0
        moved.append(np.linalg.norm(solved.shifts[solved.moved], axis=1) * unit)
        uncertainty.append(solved.uncertainty[solved.moved] * unit)
    summary.moved_px, summary.uncertainty_px = (_mean(values) for values in (moved, uncertainty))
    for entry, pair in source.pairs.items():
        _put_pair(matches, entry, pair, source, summary)


def _put_image(store: Store, name: str, source: Source, solved: Keypoints) -> None:
    found = source.features.load(name)
    stated = source.features.uncertainty(name)
    unit = stated or 1.0
    again, _ = source.seconds(name)
    points = np.concatenate([found.keypoints + unit * solved.shifts, found.keypoints[again]])
    scores = np.concatenate([found.scores, found.scores[again]])
    spread = np.concatenate([solved.uncertainty, np.full(len(again), UNREFINED)]) * unit
    store.put(
        name,
        {**keypoints_entry(points, scores, found.image_size), "uncertainty": spread.astype(np.float32)},
        source.features.entry_attributes(name),
        {} if stated is None else {"keypoints": {"uncertainty": stated}},
    )


def _put_pair(store: Store, entry: str, pair: Pair, source: Source, summary: RefineSummary) -> None:
    selection = source.selected(entry, pair)
    indices, spreads = [], []
    for name, index in zip(pair, selection.indices.T, strict=True):
        spread = source.solved(name).uncertainty[index]
        if not selection.refined:
            index = source.seconds(name)[1][index] if source.connected(pair) else index
            spread = np.full(len(index), UNREFINED)
        indices.append(index)
        spreads.append(spread * (source.features.uncertainty(name) or 1.0))
    order = np.argsort(indices[0], kind="stable")
    kept = Matches(np.stack(indices, 1)[order].astype(np.int32), selection.scores[order])
    count = source.features.count(pair[0]) + len(source.seconds(pair[0])[0])
    sigma = np.zeros(count, np.float32)
    sigma[kept.indices[:, 0]] = np.sqrt((spreads[0] ** 2 + spreads[1] ** 2) / 2)[order]
    about = source.matches.entry_attributes(entry)
    store.put(entry, {**matches_entry(kept, count), "sigma": sigma}, {**about, "refined": int(selection.refined)})
    summary.pairs += 1
    summary.refined_pairs += selection.refined
    summary.matches += len(source.matches.load(*pair))
    summary.kept_matches += len(kept)


def _mean(values: list[FloatArray]) -> float:
    total = sum(len(one) for one in values)
    return float(sum(one.sum() for one in values) / total) if total else 0.0
