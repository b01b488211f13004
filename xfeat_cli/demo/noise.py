"""Smooth random fields anchored in metres, so that they look the same whatever resolution they are sampled at.

Every field has mean 0 and a standard deviation of about 1, and is a pure function of its key.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Key = tuple[int, ...]

_SPLINE_DEVIATION = 0.48
_TRILINEAR_DEVIATION = 0.45
_SOLID_PERIOD = 32


@dataclass(frozen=True)
class Grid:
    """Sample positions over a sheet of `width` × `height` metres, about `texel` metres apart, at texel centres.

    `around` says that the left and the right edge are the same line (an unrolled cylinder).
    """

    width: float
    height: float
    texel: float
    around: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns)."""
        return max(2, round(self.height / self.texel)), max(2, round(self.width / self.texel))

    @property
    def u(self) -> FloatArray:
        """Return metres from the left edge, one per column."""
        columns = self.shape[1]
        return ((np.arange(columns) + 0.5) * (self.width / columns)).astype(np.float32)

    @property
    def v(self) -> FloatArray:
        """Return metres from the top edge, one per row."""
        rows = self.shape[0]
        return ((np.arange(rows) + 0.5) * (self.height / rows)).astype(np.float32)


def spline_noise(grid: Grid, cell: float, key: Key, stretch: float = 1.0) -> FloatArray:
    """Return one octave: random values `cell` metres apart (`cell·stretch` along v) under a cubic B-spline."""
    columns = max(2, round(grid.width / cell)) if grid.around else int(grid.width / cell) + 4
    rows = int(grid.height / (cell * stretch)) + 4
    lattice = np.random.default_rng(key).standard_normal((rows, columns)).astype(np.float32)
    step = grid.width / columns if grid.around else cell
    first_u, weights_u = _spline_taps(grid.u / step)
    first_v, weights_v = _spline_taps(grid.v / (cell * stretch))
    along_u = lattice[:, first_u % columns] * weights_u[0]
    for tap in range(1, 4):
        along_u += lattice[:, (first_u + tap) % columns] * weights_u[tap]
    field = along_u[first_v] * weights_v[0][:, None]
    for tap in range(1, 4):
        field += along_u[first_v + tap] * weights_v[tap][:, None]
    field *= np.float32(1 / _SPLINE_DEVIATION)
    return field


def fractal(grid: Grid, cell: float, key: Key, octaves: int = 5, gain: float = 0.6, stretch: float = 1.0) -> FloatArray:
    """Return octaves of `spline_noise`, each half as coarse and `gain` as strong; those finer than two texels are left
    out.
    """
    strengths = gain ** np.arange(octaves)
    strengths /= np.linalg.norm(strengths)
    field = np.zeros(grid.shape, np.float32)
    for octave, strength in enumerate(strengths):
        size = cell / 2**octave
        if size >= 2 * grid.texel:
            field += spline_noise(grid, size, (*key, octave), stretch) * np.float32(strength)
    return field


def solid_fractal(points: FloatArray, cell: float, key: Key, texel: float, octaves: int = 5) -> FloatArray:
    """Return a fractal field at points (..., 3) in metres, for curved bodies; octaves finer than two texels are left
    out.
    """
    strengths = 0.6 ** np.arange(octaves)
    strengths /= np.linalg.norm(strengths)
    field = np.zeros(points.shape[:-1], np.float32)
    for octave, strength in enumerate(strengths):
        size = cell / 2**octave
        if size >= 2 * texel:
            field += _solid_noise(points / np.float32(size), (*key, octave)) * np.float32(strength)
    return field


def _spline_taps(position: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    first = np.floor(position).astype(np.intp)
    f = (position - first).astype(np.float32)
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6
    return first, weights.astype(np.float32)


def _solid_noise(position: FloatArray, key: Key) -> FloatArray:
    n = _SOLID_PERIOD
    lattice = np.random.default_rng(key).standard_normal((n, n, n)).astype(np.float32)
    first = np.floor(position).astype(np.intp)
    f = position - first
    f = f * f * (3 - 2 * f)
    field = np.zeros(position.shape[:-1], np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, f, 1 - f), axis=-1)
        x, y, z = np.moveaxis((first + np.array(corner)) % n, -1, 0)
        field += weight * lattice[x, y, z]
    return (field / np.float32(_TRILINEAR_DEVIATION)).astype(np.float32)
