"""The similarity between two sets of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """x ↦ scale · rotation @ x + translation."""

    scale: float
    rotation: Float64Array
    translation: Float64Array

    def apply(self, points: Float64Array) -> Float64Array:
        """Move points (N, 3)."""
        return self.scale * points @ self.rotation.T + self.translation


def align(source: Float64Array, target: Float64Array) -> Similarity:
    """Return the similarity that brings source (N, 3) nearest to target (N, 3) in least squares (Umeyama, 1991)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    u, spread, vt = np.linalg.svd((target - target_mean).T @ centred)
    signs = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u * signs @ vt
    scale = float((spread * signs).sum() / max((centred**2).sum(), np.finfo(float).tiny))
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)
