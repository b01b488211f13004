"""A texture that is known at every real position, and images of it under exact warps."""

from __future__ import annotations

from functools import cache

import numpy as np

CYCLES_PER_PIXEL = 0.35
"""The finest wave in an image that is not enlarged: nearly as fine as pixels can show."""


class Texture:
    """A sum of waves of all directions and of lengths from 3 to 100 px, weaker the shorter they are."""

    def __init__(self, seed: int = 0, waves: int = 120) -> None:
        rng = np.random.default_rng(seed)
        frequency = np.exp(rng.uniform(np.log(0.01), np.log(CYCLES_PER_PIXEL), waves))
        angle, self._phase = rng.uniform(0, 2 * np.pi, (2, waves))
        self._waves = 2 * np.pi * frequency[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        amplitude = frequency**-0.7
        self._amplitude = 0.13 * amplitude / np.sqrt((amplitude**2).sum() / 2)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Values around 0.5 at points (..., 2)."""
        values = np.full(points.shape[:-1], 0.5)
        for (x, y), phase, amplitude in zip(self._waves, self._phase, self._amplitude, strict=True):
            values += amplitude * np.cos(points[..., 0] * x + points[..., 1] * y + phase)
        return values

    def image(
        self, size: tuple[int, int], matrix: np.ndarray | None = None, shift: tuple[float, float] = (0, 0)
    ) -> np.ndarray:
        """(height, width) float32; what lies at p of the texture is seen at pixel matrix @ p + shift."""
        back = np.linalg.inv(np.eye(2) if matrix is None else matrix)
        return self._image(size, tuple(back.ravel()), tuple(shift)).copy()

    @cache  # noqa: B019 - one texture a test module
    def _image(self, size: tuple[int, int], back: tuple[float, ...], shift: tuple[float, ...]) -> np.ndarray:
        x, y = np.meshgrid(np.arange(size[0], dtype=float), np.arange(size[1], dtype=float))
        return self.at((np.stack([x, y], -1) - shift) @ np.reshape(back, (2, 2)).T).astype(np.float32)
