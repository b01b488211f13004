"""The absolute pose of a camera from pixels and the points that they show, by poselib; how sure it is.

Pixels are those of COLMAP's cameras, (0, 0) at the corner of the top-left pixel; poses are world to camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.model import ModelCamera

Float64Array = npt.NDArray[np.float64]

_ITERATIONS = (100, 5000)
_UNKNOWN = 6
"""A pose's numbers."""

_LEAST_SIGMA = 0.3
"""px: what a keypoint is off by at least, however well so few fit."""

_FOCAL_FACTORS = (0.6, 0.75, 0.9, 1.1, 1.3, 1.6, 2.0)
"""Focal lengths that are tried where none is known, in longest sides; two rounds then narrow them down."""


@dataclass(frozen=True)
class AbsolutePose:
    """rotation (3, 3), translation (3,): a world point X lies at R·X + t in the camera's frame.

    inliers: (N,) bool. rotation_std_deg: standard deviation of the orientation; position_std: of the projection centre,
    in the model's unit; each the root of the sum over the three axes. camera: with its focal length as it was used.
    """

    rotation: Float64Array
    translation: Float64Array
    inliers: npt.NDArray[np.bool_]
    rotation_std_deg: float
    position_std: float
    camera: ModelCamera

    @property
    def quaternion(self) -> Float64Array:
        """Return (4,) w, x, y, z, w ≥ 0, of the rotation."""
        return quaternion(self.rotation)

    @property
    def centre(self) -> Float64Array:
        """Return the projection centre (3,), world frame."""
        return -self.rotation.T @ self.translation


def estimate(
    pixels: Float64Array,
    points: Float64Array,
    camera: ModelCamera,
    max_error: float,
    seed: int,
    focal_known: bool = True,
) -> AbsolutePose | None:
    """Return the pose that most of the points (N, 3) at pixels (N, 2) agree with, refined on those; None without any.

    max_error: of an inlier, px. focal_known: else several focal lengths are tried.
    """
    if len(pixels) < 4:
        return None
    if focal_known:
        return _estimate(pixels, points, camera, max_error, seed)
    longest = max(camera.size)
    factors = list(_FOCAL_FACTORS)
    best: AbsolutePose | None = None
    spread = 1.0
    for _ in range(3):
        for factor in factors:
            found = _estimate(pixels, points, with_focal(camera, factor * longest), max_error, seed)
            if found is not None and (best is None or found.inliers.sum() > best.inliers.sum()):
                best = found
        if best is None:
            return None
        spread *= 0.35
        centre = best.camera.focal_px / longest
        factors = [centre * (1 + step * spread) for step in (-0.3, -0.15, 0.15, 0.3)]
    return best


def with_focal(camera: ModelCamera, focal: float) -> ModelCamera:
    """Return the same camera with another focal length, px."""
    parameters = {name: focal if name in ("f", "fx", "fy") else value for name, value in camera.parameters.items()}
    return replace(camera, parameters=parameters, focal_px=focal)


def _estimate(
    pixels: Float64Array, points: Float64Array, camera: ModelCamera, max_error: float, seed: int
) -> AbsolutePose | None:
    least, most = _ITERATIONS
    pose, info = require_poselib().estimate_absolute_pose(
        pixels,
        points,
        {
            "model": camera.model,
            "width": camera.size[0],
            "height": camera.size[1],
            "params": list(camera.parameters.values()),
        },
        {"max_reproj_error": max_error, "min_iterations": least, "max_iterations": most, "seed": seed},
        {},
    )
    inliers = np.array(info["inliers"], bool)
    rotation, translation = np.asarray(pose.R, float), np.asarray(pose.t, float)
    if not inliers.any() or not np.isfinite(rotation).all() or not np.isfinite(translation).all():
        return None
    spread = uncertainty(points[inliers], pixels[inliers], rotation, translation, camera)
    return AbsolutePose(rotation, translation, inliers, *spread, camera)


def uncertainty(
    points: Float64Array, pixels: Float64Array, rotation: Float64Array, translation: Float64Array, camera: ModelCamera
) -> tuple[float, float]:
    """Return standard deviations of orientation (degrees) and projection centre, of a pose that fits points (N, 3).

    First-order propagation of the pixels' errors, whose size the residuals tell, with the camera's focal length and
    without its distortion. Infinite where the points do not determine the pose.
    """
    seen = points @ rotation.T + translation
    x, y, z = seen.T
    zero, one = np.zeros_like(z), np.ones_like(z)
    # Of the projection (x, y) / z by the point, and of the point by a small turn and a shift of the camera's frame.
    by_point = np.stack([np.stack([one / z, zero, -x / z**2], 1), np.stack([zero, one / z, -y / z**2], 1)], 1)
    turn = np.stack([np.stack([zero, z, -y], 1), np.stack([-z, zero, x], 1), np.stack([y, -x, zero], 1)], 1)
    by_pose = np.concatenate([turn, np.broadcast_to(np.eye(3), (len(points), 3, 3))], 2)
    jacobian = camera.focal_px * (by_point @ by_pose).reshape(-1, _UNKNOWN)
    principal = np.array([camera.parameters.get("cx", 0.0), camera.parameters.get("cy", 0.0)])
    residuals = camera.focal_px * seen[:, :2] / z[:, None] + principal - pixels
    free = max(1, residuals.size - _UNKNOWN)
    # The median keeps distortion, which is left out here, from counting as noise at the image's border.
    sigma = max(_LEAST_SIGMA, min(np.sqrt((residuals**2).sum() / free), 1.4826 * np.median(np.abs(residuals))))
    information = jacobian.T @ jacobian
    if not np.isfinite(information).all() or np.linalg.cond(information) > 1e14:
        return float("inf"), float("inf")
    covariance = sigma**2 * np.linalg.inv(information)
    return float(np.degrees(np.sqrt(np.trace(covariance[:3, :3])))), float(np.sqrt(np.trace(covariance[3:, 3:])))


def quaternion(rotation: Float64Array) -> Float64Array:
    """Map (3, 3) rotation → (4,) w, x, y, z with w ≥ 0."""
    m = rotation
    # The matrix whose largest eigenvector is the quaternion (Bar-Itzhack, 2000), which no rotation makes unstable.
    k = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    vector = np.linalg.eigh(k)[1][:, -1]
    return vector if vector[0] >= 0 else -vector


def require_poselib() -> Any:
    """Return the module. Raises UsageError when it is missing."""
    try:
        import poselib
    except ImportError:
        raise UsageError("localisation needs poselib: pip install 'xfeat-cli[localize]'") from None
    return poselib
