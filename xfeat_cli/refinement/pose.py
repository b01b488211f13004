"""The relative pose of two images adjusted to matches of known uncertainty."""

from __future__ import annotations

import cv2
import numpy as np

from xfeat_cli.types import FloatArray

_LOSS_SCALE = 1.5
"""Sigmas from which a match loses influence (Cauchy): look-alikes lie all along the epipolar lines."""

_ITERATIONS = 12
_STEP = 1e-6
"""Radians, for derivatives."""


def adjust_pose(
    rotation: FloatArray,
    translation: FloatArray,
    points0: FloatArray,
    points1: FloatArray,
    calibrations: tuple[FloatArray, FloatArray],
    sigmas: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return minimise Σ log(1 + z² / c²) over a pose, z = Sampson distance / sigma of each match; Levenberg-Marquardt.

    rotation (3, 3), translation (3,): from camera 0's frame to camera 1's, near the truth. points0, points1: (M, 2)
    pixels. calibrations: the cameras' K (3, 3). sigmas: (M,) px. Returns the rotation, and the translation of length 1.
    """
    scaled0, scaled1 = (np.linalg.inv(calibration) for calibration in calibrations)
    one, two = (np.column_stack([points, np.ones(len(points))]) for points in (points0, points1))

    def distances(rotation: FloatArray, translation: FloatArray) -> FloatArray:
        x, y, z = translation
        essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
        lines1 = one @ (scaled1.T @ essential @ scaled0).T
        lines0 = two @ (scaled1.T @ essential @ scaled0)
        slopes = (lines1[:, :2] ** 2).sum(1) + (lines0[:, :2] ** 2).sum(1)
        return (two * lines1).sum(1) / np.sqrt(np.maximum(slopes, 1e-30)) / sigmas

    def moved(step: FloatArray) -> tuple[FloatArray, FloatArray]:
        turned = translation + across.T @ step[3:]
        return cv2.Rodrigues(step[:3])[0] @ rotation, turned / np.linalg.norm(turned)

    translation = translation / np.linalg.norm(translation)
    now, damping = distances(rotation, translation), 1e-3
    for _ in range(_ITERATIONS):
        across = np.linalg.svd(translation[None])[2][1:]
        columns = [(distances(*moved(step)) - now) / _STEP for step in _STEP * np.eye(5)]
        jacobian = np.stack(columns, 1)
        weights = 1 / (1 + (now / _LOSS_SCALE) ** 2)
        normal = jacobian.T @ (weights[:, None] * jacobian)
        damped = normal + damping * np.diag(np.diag(normal)) + 1e-12 * np.eye(5)
        trial = moved(-np.linalg.solve(damped, jacobian.T @ (weights * now)))
        then = distances(*trial)
        if _loss(then) < _loss(now):
            (rotation, translation), now, damping = trial, then, damping / 5
        else:
            damping *= 8
    return rotation, translation


def _loss(distances: FloatArray) -> float:
    return float(np.log1p((distances / _LOSS_SCALE) ** 2).sum())
