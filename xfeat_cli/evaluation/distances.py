"""Nearest points in the plane, by differences of coordinates: products would lose the small distances."""

from __future__ import annotations

import numpy as np
import torch

from xfeat_cli.types import FloatArray

_EXACT = "donot_use_mm_for_euclid_dist"


def nearest_distances(points: FloatArray, others: FloatArray) -> FloatArray:
    """Return the distance (N,) of each of `points` (N, 2) to the nearest of `others` (M, 2); infinite where there is
    none.
    """
    if len(points) == 0 or len(others) == 0:
        return np.full(len(points), np.inf, np.float32)
    return _distances(points, others).amin(1).numpy()


def mutually_nearest(points0: FloatArray, points1: FloatArray, within: float) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (K,) into `points0` (N, 2) and `points1` (M, 2) of points that are each other's nearest.

    Points further apart than `within` are left out.
    """
    if len(points0) == 0 or len(points1) == 0:
        return np.zeros(0, int), np.zeros(0, int)
    apart = _distances(points0, points1)
    distance, partner = apart.min(1)
    first = torch.arange(len(points0))
    kept = (apart.argmin(0)[partner] == first) & (distance <= within)
    return first[kept].numpy(), partner[kept].numpy()


def _distances(points0: FloatArray, points1: FloatArray) -> torch.Tensor:
    one, two = (torch.from_numpy(np.asarray(points, np.float32)) for points in (points0, points1))
    return torch.cdist(one, two, compute_mode=_EXACT)
