"""Semi-dense points of many pairs → one set of keypoints per image, and matches between them.

The refiner moves one of a match's two ends along each axis, so one cell of an image yields points that differ from
pair to pair by up to a cell (8 network pixels), and each belongs with its own partner. Only points that lie together
within a radius much smaller than a cell are therefore one keypoint; it stands at their score-weighted mean, so that the
points move by nothing on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xfeat_cli.types import FloatArray, IntArray, Matches

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

_NEIGHBOURS = tuple((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1))
_MEAN_ROUNDS = 2
_ROW = 1 << 31
"""Bins in a row of bins, as far as a bin's single number is concerned."""


@dataclass(frozen=True)
class Merged:
    """keypoints: (K, 2) float32, px of the stored image; scores: (K,) float32, sums over their points, best first."""

    keypoints: FloatArray
    scores: FloatArray


def merge_points(points: FloatArray, scores: FloatArray, radius: float) -> Merged:
    """Map points (N, 2) of one image, from all its pairs, with scores (N,) → keypoints, means of points within `radius`
    px.

    Deterministic. `assign` says which point belongs to which keypoint; few belong to none.
    """
    at, weights = points.astype(np.float64), np.maximum(scores.astype(np.float64), np.finfo(np.float32).tiny)
    if len(at) == 0:
        return Merged(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    centres = _seeds(at, weights, radius)
    for _ in range(_MEAN_ROUNDS):
        centres, sums = _means(_nearest(centres, at, radius), at, weights, len(centres))
    order = np.argsort(-sums, kind="stable")
    return Merged(centres[order].astype(np.float32), sums[order].astype(np.float32))


def assign(keypoints: FloatArray, points: FloatArray, radius: float) -> IntArray:
    """Return, for each point (N, 2), the index (N,) of the nearest keypoint (K, 2) within `radius` px, −1 = none."""
    return _nearest(keypoints.astype(np.float64), points.astype(np.float64), radius).astype(np.int32)


def index_matches(assignment0: IntArray, assignment1: IntArray, scores: FloatArray) -> tuple[Matches, IntArray]:
    """Return a pair's point matches (M) as K indices into its images' keypoints, one-to-one, the better score first
    served.

    assignment0, assignment1: (M,) keypoint of each match's ends, −1 = none. Also returns which (K,) of the M were kept.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[(assignment0[order] >= 0) & (assignment1[order] >= 0)]
    order = _first_of_each(order, assignment0)
    order = _first_of_each(order, assignment1)
    order = order[np.argsort(assignment0[order], kind="stable")]
    indices = np.stack([assignment0[order], assignment1[order]], axis=1).astype(np.int32)
    return Matches(indices, scores[order].astype(np.float32)), order.astype(np.int32)


def _first_of_each(order: Int64Array, owners: IntArray) -> Int64Array:
    _, first = np.unique(owners[order], return_index=True)
    return order[np.sort(first)]


def _seeds(points: Float64Array, weights: Float64Array, radius: float) -> Float64Array:
    """Return means of the points in square bins of side `radius`; near a heavier one, none."""
    _, bins = np.unique(_bin(points, radius), return_inverse=True)
    centres, sums = _means(bins, points, weights, int(bins.max()) + 1)
    order = np.argsort(-sums, kind="stable")
    centres = centres[order]
    return centres[_unsuppressed(_neighbours(centres, radius))]


def _neighbours(centres: Float64Array, radius: float) -> Int64Array:
    """Return (C, 8) other centres nearer than `radius`, −1 = none; at most one centre stands in a bin."""
    numbers = _bin(centres, radius)
    order = np.argsort(numbers)
    found = []
    for x, y in _NEIGHBOURS:
        if (x, y) == (0, 0):
            continue
        wanted = numbers + x * _ROW + y
        place = np.minimum(np.searchsorted(numbers[order], wanted), len(order) - 1)
        other = order[place]
        near = (numbers[other] == wanted) & (((centres - centres[other]) ** 2).sum(1) < radius**2)
        found.append(np.where(near, other, -1))
    return np.stack(found, axis=1)


def _unsuppressed(neighbours: Int64Array) -> npt.NDArray[np.bool_]:
    """Return greedy suppression in order of index: a centre stays unless an earlier one that stays is its neighbour."""
    count = len(neighbours)
    earlier = np.where((neighbours >= 0) & (neighbours < np.arange(count)[:, None]), neighbours, count)
    open_ = np.append(np.ones(count, bool), False)
    kept = np.zeros(count + 1, bool)
    while open_.any():
        kept[:count] |= open_[:count] & ~open_[earlier].any(1) & ~kept[earlier].any(1)
        open_[:count] &= ~kept[:count] & ~kept[earlier].any(1)
    return kept[:count]


def _nearest(centres: Float64Array, points: Float64Array, radius: float) -> Int64Array:
    """Return, for each point, the nearest centre within `radius`, −1 = none."""
    numbers = _bin(centres, radius)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    bins = _bin(points, radius)
    nearest = np.full(len(points), -1)
    distance = np.full(len(points), radius**2)
    for x, y in _NEIGHBOURS:
        first, last = (np.searchsorted(ordered, bins + x * _ROW + y, side) for side in ("left", "right"))
        for step in range(int((last - first).max(initial=0))):
            place = np.flatnonzero(first + step < last)
            centre = order[first[place] + step]
            squared = ((centres[centre] - points[place]) ** 2).sum(1)
            better = squared < distance[place]
            nearest[place[better]], distance[place[better]] = centre[better], squared[better]
    return nearest


def _means(
    owners: Int64Array, points: Float64Array, weights: Float64Array, count: int
) -> tuple[Float64Array, Float64Array]:
    """Return weighted means (·, 2) and weights (·,) of the points of each owner that has any; −1 owns none."""
    owned = owners >= 0
    owners, points, weights = owners[owned], points[owned], weights[owned]
    sums = np.bincount(owners, weights, minlength=count).astype(np.float64)
    totals = np.stack([np.bincount(owners, weights * points[:, axis], minlength=count) for axis in (0, 1)], axis=1)
    used = sums > 0
    return totals[used] / sums[used, None], sums[used]


def _bin(points: Float64Array, radius: float) -> Int64Array:
    """Return one number for the square bin of side `radius` that each point lies in."""
    column, row = np.floor(points / radius).astype(np.int64).T
    return column * _ROW + row
