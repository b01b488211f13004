"""Semi-dense matches made to agree with their neighbours.

A surface that is flat over a few cells moves from one image to the other by an affine map, while the errors of refined
points are independent from cell to cell. So each match's point in image 1 is replaced by what the matches around it say
(a robust local affine fit), which averages their errors out, and a match whose neighbours say something else is
dropped. Where all neighbours agree already, nothing moves: an image matched with itself stays exactly as it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xfeat_cli.types import PointMatches

Float32Array = npt.NDArray[np.float32]

REACH = 4
"""Cells on each side of a match that count as its neighbourhood."""
SPREAD = 2.5
"""Standard deviation, in cells, of a neighbour's weight."""
LEAST_SUPPORT = 0.5
"""Least share of the neighbourhood's weight that agrees with the fit."""
_ROUNDS = 3
_FIRST_SCALE, _SCALE, _AGREE = 0.4, 0.15, 0.3
"""Residuals, in cells, at which a neighbour's weight is halved (of the median motion, of a fit), and it disagrees."""
_STIFFNESS = 0.05
"""Weight of the prior, which is a shift, in units of one neighbour at one SPREAD."""


def smooth(matches: PointMatches, cell: float) -> PointMatches:
    """The matches that their neighbours support, in their order, their points in image 1 moved to where these say.

    cell: distance of neighbouring cells in image 0, px of the stored image.
    """
    if len(matches) == 0:
        return matches
    points0, points1 = (np.asarray(points / cell, np.float32) for points in (matches.points0, matches.points1))
    neighbours = _neighbours(points0)
    present = neighbours >= 0
    offsets = (points0[neighbours] - points0[:, None]) * present[..., None]
    targets = (points1[neighbours] - points1[:, None]) * present[..., None]
    nearness = np.exp(-(offsets**2).sum(-1) / (2 * SPREAD**2)) * matches.scores[neighbours] * present
    motion = targets - offsets
    shift = _weighted_median(motion, nearness)
    residuals = np.linalg.norm(motion - shift[:, None], axis=2)
    weights = nearness / (1 + (residuals / _FIRST_SCALE) ** 2)
    for _ in range(_ROUNDS):
        affine = _fit(offsets, targets, weights)
        residuals = np.linalg.norm(targets - affine[:, None, 0] - offsets @ affine[:, 1:], axis=2)
        weights = nearness / (1 + (residuals / _SCALE) ** 2)
    support = (weights * (residuals < _AGREE)).sum(1) / nearness.sum(1)
    keep = support >= LEAST_SUPPORT
    moved = ((points1 + affine[:, 0])[keep] * cell).astype(np.float32)
    return PointMatches(matches.points0[keep], moved, matches.scores[keep])


def _neighbours(points: Float32Array) -> npt.NDArray[np.int64]:
    """(N, (2 · REACH + 1)²) matches in the cells around each match's, itself included, −1 = none; one a cell."""
    cells = np.floor(points).astype(np.int64)
    cells -= cells.min(0) - REACH
    width, height = cells.max(0) + REACH + 1
    grid = np.full((height, width), -1)
    column, row = cells.T
    grid[row, column] = np.arange(len(points))
    steps = np.arange(-REACH, REACH + 1)
    around = grid[row[:, None, None] + steps[:, None], column[:, None, None] + steps].reshape(len(points), -1)
    around[:, around.shape[1] // 2] = np.arange(len(points))
    return around


def _weighted_median(values: Float32Array, weights: Float32Array) -> Float32Array:
    """(N, 2) of values (N, K, 2) with weights (N, K), each axis by itself."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(np.broadcast_to(weights[..., None], values.shape), order, 1).cumsum(1)
    middle = (ordered < ordered[:, -1:] / 2).sum(1)
    return np.take_along_axis(np.take_along_axis(values, order, 1), middle[:, None], 1)[:, 0]


def _fit(offsets: Float32Array, targets: Float32Array, weights: Float32Array) -> Float32Array:
    """Affine maps (N, 3, 2), constant first, of offsets (N, K, 2) to targets (N, K, 2) by weighted least squares."""
    terms = np.concatenate([np.ones((*offsets.shape[:2], 1), np.float32), offsets], axis=2)
    weighted = (terms * weights[..., None]).swapaxes(1, 2)
    stiffness = np.diag([1e-6, _STIFFNESS * SPREAD**2, _STIFFNESS * SPREAD**2]).astype(np.float32)
    shift = np.concatenate([np.zeros((1, 2)), np.eye(2)]).astype(np.float32)
    return np.linalg.solve(weighted @ terms + stiffness, weighted @ targets + stiffness @ shift)
