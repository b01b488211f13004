"""Pairs from a model: cameras that stand near each other and look the same way, or that see common points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xfeat_cli.pairing.neighbours import IndexArray, nearest_pairs, negative_squared_distances
from xfeat_cli.types import Pair

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PosedImages:
    """Images of a model that have a pose.

    centres: (N, 3) projection centres; directions: (N, 3) unit viewing directions, both in the model's frame.
    points: for each image the ids of the model's points that it sees, ascending, each once.
    """

    names: Sequence[str]
    centres: Float64Array
    directions: Float64Array
    points: Sequence[IndexArray]


def near_poses(images: PosedImages, count: int, max_angle_deg: float = 45.0) -> Iterator[Pair]:
    """Yield each image with the `count` nearest others (by projection centre) whose viewing directions differ by at
    most `max_angle_deg`; nearest first, each pair once.
    """
    least_cosine = np.cos(np.radians(max_angle_deg))

    def score(rows: IndexArray, columns: IndexArray) -> Float64Array:
        nearness = negative_squared_distances(images.centres[rows], images.centres[columns])
        nearness[images.directions[rows] @ images.directions[columns].T < least_cosine] = -np.inf
        return nearness

    for one, other in nearest_pairs(len(images.names), count, score):
        yield images.names[one], images.names[other]


def covisible(images: PosedImages, count: int) -> Iterator[Pair]:
    """Yield each image with the `count` others that see most of its points, most first, each pair once."""
    common = CommonPoints(images.points)

    def score(rows: IndexArray, columns: IndexArray) -> Float64Array:
        counts = np.stack([common.counts(row)[columns] for row in rows.tolist()]).astype(np.float64)
        counts[counts == 0] = -np.inf
        return counts

    for one, other in nearest_pairs(len(images.names), count, score):
        yield images.names[one], images.names[other]


def covisible_pairs(points: Sequence[IndexArray], least: int) -> IndexArray:
    """Return (P, 2) ascending indices of the images that see at least `least` common points; points: as
    `PosedImages`.
    """
    common = CommonPoints(points)
    pairs = [np.zeros((0, 2), np.int64)]
    for number in range(len(points)):
        partners = np.flatnonzero(common.counts(number)[number + 1 :] >= least) + number + 1
        pairs.append(np.column_stack([np.full_like(partners, number), partners]))
    return np.concatenate(pairs)


class CommonPoints:
    """How many points each two images see in common. points: as `PosedImages`."""

    def __init__(self, points: Sequence[IndexArray]) -> None:
        seen = np.concatenate([np.zeros(0, np.int64), *points])
        images = np.repeat(np.arange(len(points)), [len(ids) for ids in points])
        self._points = points
        self._images = images[np.argsort(seen, kind="stable")]
        """The images that see each point, point by point."""
        self._ids, self._first, self._length = np.unique(np.sort(seen), return_index=True, return_counts=True)

    def counts(self, image: int) -> IndexArray:
        """Return (N,) points that an image has in common with each of the N images, itself included."""
        tracks = np.searchsorted(self._ids, self._points[image])
        lengths = self._length[tracks]
        within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        return np.bincount(self._images[np.repeat(self._first[tracks], lengths) + within], minlength=len(self._points))
