"""The affine map around each match, from the matches nearest to it."""

from __future__ import annotations

import cv2
import numpy as np

from xfeat_cli.types import FloatArray, IndexArray

NEIGHBOURS = 12
_RIDGE = 0.02
"""Pull towards the identity, relative to the neighbours' spread: few or collinear neighbours say little."""

_ROUNDS = 3
_KD_TREE_SINGLE = 4
"""FLANN's number of its exact tree."""


def local_affines(
    points0: FloatArray, points1: FloatArray, tolerance: float, neighbours: int = NEIGHBOURS
) -> FloatArray:
    """Return (N, 2, 2) float32 matrices A: a point d px from points0[i] lies about A[i] @ d from points1[i].

    points0, points1: (N, 2) matched pixels, N ≥ 3. tolerance: px by which a neighbour may disagree before it counts
    less. Each matrix is a robust least-squares fit over the nearest matches in image 0, the match itself included.
    """
    source = np.ascontiguousarray(points0, np.float32)
    target = np.ascontiguousarray(points1, np.float32)
    near, squared = _nearest(source, min(neighbours, len(source)))
    closeness = np.exp(-2 * squared / (squared.max(1, keepdims=True) + np.float32(1e-6)))
    x, y, u, v = source[near, 0], source[near, 1], target[near, 0], target[near, 1]
    weights = closeness
    for last in (False,) * (_ROUNDS - 1) + (True,):
        total = weights.sum(1, keepdims=True)
        x, y, u, v = (c - (weights * c).sum(1, keepdims=True) / total for c in (x, y, u, v))
        affines = _fit(weights, x, y, u, v)
        if not last:
            (a, b), (c, d) = affines.transpose(1, 2, 0)[..., None]
            squared_error = (u - a * x - b * y) ** 2 + (v - c * x - d * y) ** 2
            weights = closeness / (1 + squared_error / np.float32(tolerance**2)) ** 2
    return affines


def _nearest(points: FloatArray, count: int) -> tuple[IndexArray, FloatArray]:
    """Return indices and squared distances (N, count) of the nearest points, the point itself among them."""
    tree = cv2.flann_Index(  # type: ignore[attr-defined]
        points, {"algorithm": _KD_TREE_SINGLE, "leaf_max_size": 16}
    )
    indices, squared = tree.knnSearch(points, count, params={"checks": -1})
    return indices, squared


def _fit(weights: FloatArray, x: FloatArray, y: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Return weighted least squares of (u, v) on (x, y), each (N, K) and centred, with a ridge towards the identity."""
    wx, wy = weights * x, weights * y
    xx, xy, yy = (wx * x).sum(1), (wx * y).sum(1), (wy * y).sum(1)
    ridge = np.float32(_RIDGE) * (xx + yy) + np.float32(1e-6)
    xx, yy = xx + ridge, yy + ridge
    ux, uy = (wx * u).sum(1) + ridge, (wy * u).sum(1)
    vx, vy = (wx * v).sum(1), (wy * v).sum(1) + ridge
    determinant = xx * yy - xy * xy
    rows = [ux * yy - uy * xy, uy * xx - ux * xy, vx * yy - vy * xy, vy * xx - vx * xy]
    return (np.stack(rows, 1) / determinant[:, None]).reshape(-1, 2, 2)
