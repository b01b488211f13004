"""Gray images at the sizes that registration sees: the finest first, each next half as large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from xfeat_cli.coordinates import rescale
from xfeat_cli.types import FloatArray

BLUR_SIGMA = 0.5
"""Pixels. It removes what lies between the pixels, which interpolation would otherwise invent."""

_LEAST_SIDE = 64
_PIXELS_PER_UNIT = 1.6
"""Start where a keypoint's own uncertainty is at most about this many pixels: farther, registration finds nothing."""


@dataclass(frozen=True)
class Pyramid:
    """levels: (h, w) float32 gray images, finest first. scale: pixels of the finest for one stored pixel, (x, y).

    unit: how far the image's keypoints may be off, stored-image px.
    """

    levels: Sequence[FloatArray]
    scale: FloatArray
    unit: float

    @property
    def bytes(self) -> int:
        return sum(level.nbytes for level in self.levels)

    def to_level(self, points: FloatArray, level: int) -> FloatArray:
        """Stored-image pixels (N, 2) → pixels of a level."""
        return rescale(points, self.scale / 2**level)

    def from_level(self, points: FloatArray, level: int) -> FloatArray:
        """The inverse of `to_level`."""
        return rescale(points, 2**level / self.scale)


def build_pyramid(gray: FloatArray, shown: tuple[int, int], unit: float) -> Pyramid:
    """gray: (h, w) float32 that shows the first `shown` (width, height) stored pixels of an image."""
    height, width = gray.shape
    scale = np.array([width / shown[0], height / shown[1]])
    levels = [cv2.GaussianBlur(gray, (0, 0), BLUR_SIGMA)]
    halvings = round(np.log2(max(unit * scale.max() / _PIXELS_PER_UNIT, 1)))
    while len(levels) <= halvings and min(levels[-1].shape) >= 2 * _LEAST_SIDE:
        rows, columns = (side // 2 for side in levels[-1].shape)
        even = levels[-1][: 2 * rows, : 2 * columns]
        levels.append(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA))
    return Pyramid(levels, scale, unit)
