"""What speed costs: features of one path compared with those of another."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xfeat_cli.types import Features

_NEAR_PX = 0.5


@dataclass(frozen=True)
class Agreement:
    """shared: share of `expected`'s keypoints with one of `found` within 0.5 px of the network's image.

    cosine: mean cosine of the descriptors of shared keypoints; 0 when none is shared.
    """

    shared: float
    cosine: float


def agreement(found: Features, expected: Features, pixel: float = 1.0) -> Agreement:
    """Return how many keypoints of `expected` are in `found`. pixel: stored-image px per px of the network's image.

    Semi-dense cells are compared with cells of the same scale.
    """
    if len(found) == 0 or len(expected) == 0:
        return Agreement(float(len(expected) == len(found)), 0.0)
    pairs = cv2.BFMatcher(cv2.NORM_L2).match(_places(expected, pixel), _places(found, pixel))
    near = [(pair.queryIdx, pair.trainIdx) for pair in pairs if pair.distance <= _NEAR_PX]
    if not near:
        return Agreement(0.0, 0.0)
    first, second = np.array(near).T
    a, b = expected.descriptors[first].astype(np.float64), found.descriptors[second].astype(np.float64)
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return Agreement(len(near) / len(expected), float(cosine.mean()))


def _places(features: Features, pixel: float) -> np.ndarray:
    """Return (N, 3): x and y, and the scale, far apart for each scale."""
    scales = np.zeros(len(features)) if features.scales is None else features.scales * 100
    return np.column_stack([features.keypoints / pixel, scales]).astype(np.float32)
