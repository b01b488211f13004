"""Gray images at the sizes that registration sees: the finest first, each next half as large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import rescale
from xfeat_cli.types import FloatArray

_BLUR_SIGMA = 0.5
"""Pixels. The blur removes what lies between the pixels, which interpolation would otherwise invent."""

_LEAST_SIDE = 64
_PIXELS_PER_UNIT = 1.6
"""Registration starts where a keypoint's own uncertainty is at most about this many pixels; it reaches little farther.
"""

_HALF_RANGE = 0.5
"""Interpolated gray values leave [0, 1]; those within this beyond it are kept."""


@dataclass(frozen=True)
class Level:
    """gray: (h, w) float32 in [0, 1]. doubled: (2h, 2w) uint16, the same with every pixel cut into four.

    Bilinear samples of `doubled` are several times nearer to the truth than those of `gray`, whose errors would bias
    positions towards whole pixels. Its values have another scale and zero, to which registration is blind.
    """

    gray: FloatArray
    doubled: npt.NDArray[np.uint16]

    @classmethod
    def of(cls, gray: FloatArray) -> Level:
        height, width = gray.shape
        larger = cv2.resize(gray, (2 * width, 2 * height), interpolation=cv2.INTER_LANCZOS4)
        counts = (larger + np.float32(_HALF_RANGE)) * np.float32(65535 / (1 + 2 * _HALF_RANGE))
        return cls(gray, np.clip(counts, 0, 65535).astype(np.uint16))


@dataclass(frozen=True)
class Pyramid:
    """levels: finest first. scale: pixels of the finest for one stored pixel, (x, y).

    unit: how far the image's keypoints may be off, stored-image px.
    """

    levels: Sequence[Level]
    scale: FloatArray
    unit: float

    @property
    def bytes(self) -> int:
        return sum(level.gray.nbytes + level.doubled.nbytes for level in self.levels)

    def to_level(self, points: FloatArray, level: int) -> FloatArray:
        """Map stored-image pixels (N, 2) → pixels of a level."""
        return rescale(points, self.scale / 2**level)

    def from_level(self, points: FloatArray, level: int) -> FloatArray:
        """Return the inverse of `to_level`."""
        return rescale(points, 2**level / self.scale)


def build_pyramid(gray: FloatArray, shown: tuple[int, int], unit: float) -> Pyramid:
    """gray: (h, w) float32 that shows the first `shown` (width, height) stored pixels of an image."""
    height, width = gray.shape
    scale = np.array([width / shown[0], height / shown[1]])
    halvings = round(np.log2(max(unit * scale.max() / _PIXELS_PER_UNIT, 1)))
    images: list[Any] = [cv2.GaussianBlur(gray, (0, 0), _BLUR_SIGMA)]
    while len(images) <= halvings and min(images[-1].shape) >= 2 * _LEAST_SIDE:
        rows, columns = (side // 2 for side in images[-1].shape)
        even = images[-1][: 2 * rows, : 2 * columns]
        images.append(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA))
    return Pyramid([Level.of(image) for image in images], scale, unit)
