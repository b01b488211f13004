"""A picture glued to a shape, kept at several resolutions so that distant views don't alias.

Every level is a symmetric box reduction of the one below and is addressed by the same 0…1 coordinates, so no level is
shifted against another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.demo.noise import FloatArray

ImageArray = npt.NDArray[np.uint8]

_REMAP_WIDTH = 1024


@dataclass(frozen=True, eq=False)
class Sheet:
    """`levels` are (h, w, 3) uint8 RGB, finest first, each half the size of the one before; `texel` in metres."""

    levels: Sequence[ImageArray]
    texel: float
    around: bool = False

    @classmethod
    def of(cls, picture: ImageArray, texel: float, around: bool = False) -> Sheet:
        """Return a sheet from its finest level."""
        levels = [picture]
        while min(levels[-1].shape[:2]) >= 4:
            height, width = levels[-1].shape[:2]
            half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            levels.append(np.asarray(half, np.uint8))
        return cls(tuple(levels), texel, around)

    def sample(self, u: FloatArray, v: FloatArray, footprint: FloatArray) -> FloatArray:
        """Return colours (N, 3) float32, 0…255, at (u, v) (N,), averaged over about `footprint` (N,) metres."""
        last = len(self.levels) - 1
        level = np.clip(np.log2(footprint / np.float32(self.texel)), 0, last)
        floor = level.astype(np.int16)
        low, high = int(floor.min()), int(floor.max())
        if low == high:
            return self._between(low, u, v, level)
        colours = np.empty((len(u), 3), np.float32)
        for number in range(low, high + 1):
            chosen = np.flatnonzero(floor == number)
            if len(chosen):
                colours[chosen] = self._between(number, u[chosen], v[chosen], level[chosen])
        return colours

    def _between(self, number: int, u: FloatArray, v: FloatArray, level: FloatArray) -> FloatArray:
        fine = self._lookup(number, u, v).astype(np.float32)
        share = (level - number)[:, None]
        if number + 1 == len(self.levels) or not share.any():
            return fine
        return fine + share * (self._lookup(number + 1, u, v) - fine)

    def _lookup(self, number: int, u: FloatArray, v: FloatArray) -> ImageArray:
        picture = self.levels[number]
        height, width = picture.shape[:2]
        x, y = u * np.float32(width) - np.float32(0.5), v * np.float32(height) - np.float32(0.5)
        if self.around:
            y = np.clip(y, 0, height - 1)
        count, rows = len(u), -(-len(u) // _REMAP_WIDTH)
        padded = np.zeros((2, rows * _REMAP_WIDTH), np.float32)
        padded[0, :count], padded[1, :count] = x, y
        border = cv2.BORDER_WRAP if self.around else cv2.BORDER_REPLICATE
        maps = padded.reshape(2, rows, _REMAP_WIDTH)
        colours = cv2.remap(picture, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(colours, np.uint8).reshape(-1, 3)[:count]
