"""Where the photographs are taken from: an arc in front of the facade, with one lens for all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xfeat_cli.cameras import Camera, Float64Array

FOCAL_PER_LONG_SIDE = 0.85
PRINCIPAL_OFFSET_PER_LONG_SIDE = (6.3 / 960, -4.1 / 960)

_TARGET = np.array([0.0, -0.6, 1.95])
_STEP_DEG = 5.8
_ARC_DEG = 64.0


def intrinsics(size: tuple[int, int]) -> Float64Array:
    """Return K (3, 3) for images of `size`: square pixels, the principal point a little off the image's centre."""
    width, height = size
    long_side = max(size)
    focal = FOCAL_PER_LONG_SIDE * long_side
    cx = (width - 1) / 2 + PRINCIPAL_OFFSET_PER_LONG_SIDE[0] * long_side
    cy = (height - 1) / 2 + PRINCIPAL_OFFSET_PER_LONG_SIDE[1] * long_side
    return np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]])


def look_at(center: npt.ArrayLike, target: npt.ArrayLike, roll_deg: float = 0.0) -> tuple[Float64Array, Float64Array]:
    """Return (R (3, 3), t (3,)) of an upright camera at `center` that looks at `target`, then turned about its axis."""
    center = np.asarray(center, np.float64)
    forward = np.asarray(target, np.float64) - center
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(np.deg2rad(roll_deg)), np.sin(np.deg2rad(roll_deg))
    rotation = np.array([c * right + s * down, c * down - s * right, forward])
    return rotation, -rotation @ center


def arc(views: int, size: tuple[int, int], seed: int) -> list[Camera]:
    """Return `views` cameras from left to right, nearer and farther, higher and lower, slightly rolled.

    Their positions do not depend on `size`.
    """
    rng = np.random.default_rng((seed, views))
    span = min(_ARC_DEG, _STEP_DEG * (views - 1))
    K = intrinsics(size)
    cameras = []
    for number in range(views):
        angle = np.deg2rad(span * (number / (views - 1) - 0.5) + rng.uniform(-0.8, 0.8))
        radius = 8.3 + (-0.9, 0.7, -0.2, 1.0)[number % 4] + rng.uniform(-0.2, 0.2)
        height = (1.7, 2.5, 3.1, 2.1, 1.5)[number % 5] + rng.uniform(-0.15, 0.15)
        ground = np.array([np.sin(angle), -np.cos(angle), 0.0]) * radius
        center = np.array([_TARGET[0], _TARGET[1], height]) + ground
        target = _TARGET + rng.uniform(-0.35, 0.35, 3) * (1, 1, 0.6)
        cameras.append(Camera(K, *look_at(center, target, rng.uniform(-5, 5)), size))
    return cameras
