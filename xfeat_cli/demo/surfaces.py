"""The shapes a scene is made of, and where rays meet them.

A shape answers `cast(rays)` with (depth, u, v), each (h, w) float32: z-depth in metres and the position on its sheet,
both axes from 0 to 1, u to the right and v down as seen from outside. A miss has depth +inf.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from xfeat_cli.cameras import Camera, Float64Array
from xfeat_cli.demo.noise import FloatArray, Grid

Hits = tuple[FloatArray, FloatArray, FloatArray]
Box2 = tuple[float, float, float, float]

_SEAM = 2e-6  # neighbouring patches overlap by this share, so that float32 rounding leaves no pinholes between them


@dataclass(frozen=True)
class Rays:
    """Rays from `origin` (3,) through a grid of pixel positions `x` (w,) and `y` (h,).

    `directions` (3, 3) takes (x, y, 1) to a world direction whose z in the camera's frame is 1, so the distance along
    a ray in these units is the z-depth.
    """

    origin: Float64Array
    directions: Float64Array
    x: Float64Array
    y: Float64Array

    @classmethod
    def of(cls, camera: Camera, x: Float64Array, y: Float64Array) -> Rays:
        """Return the rays through the pixel positions `x` × `y` of a camera."""
        return cls(camera.center, camera.R.T @ np.linalg.inv(camera.K), x, y)

    def along(self, axis: npt.ArrayLike) -> FloatArray:
        """Return the dot product of every ray's direction with `axis` (3,): (h, w)."""
        a, b, c = np.asarray(axis) @ self.directions
        return (a * self.x + c).astype(np.float32)[None, :] + (b * self.y).astype(np.float32)[:, None]

    def crop(self, rows: slice, columns: slice) -> Rays:
        """Return the rays of a part of the grid."""
        return Rays(self.origin, self.directions, self.x[columns], self.y[rows])


class Shape(Protocol):
    """What the renderer asks of a shape."""

    def corners(self) -> Float64Array:
        """Return world points (K, 3) whose convex hull holds the shape."""

    def distance(self, origin: Float64Array) -> float:
        """Return how far `origin` lies in front of the surface, in metres; ≤ 0 where only the unseen side could
        be met.
        """

    def cast(self, rays: Rays) -> Hits:
        """Return where rays meet the visible side."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A flat rectangle, seen from one side: `corner` is its top left, `right` and `down` its full edges (3,) in metres.

    `holes` are openings (u0, v0, u1, v1) in sheet coordinates; `round` keeps the inscribed ellipse only.
    """

    corner: Float64Array
    right: Float64Array
    down: Float64Array
    holes: tuple[Box2, ...] = ()
    round: bool = False

    @property
    def normal(self) -> Float64Array:
        """Return the unit normal of the visible side, (3,)."""
        (a, b, c), (d, e, f) = self.down, self.right
        normal = np.array([b * f - c * e, c * d - a * f, a * e - b * d])
        return normal / np.sqrt(normal @ normal)

    @property
    def extent(self) -> tuple[float, float]:
        """Return (width, height) in metres."""
        return float(np.linalg.norm(self.right)), float(np.linalg.norm(self.down))

    def at(self, u: npt.ArrayLike, v: npt.ArrayLike) -> Float64Array:
        """Return world points (..., 3) of sheet coordinates."""
        return self.corner + np.asarray(u)[..., None] * self.right + np.asarray(v)[..., None] * self.down

    def corners(self) -> Float64Array:
        return self.at(np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1]))

    def distance(self, origin: Float64Array) -> float:
        return float(self.normal @ (origin - self.corner))

    def cast(self, rays: Rays) -> Hits:
        offset = rays.origin - self.corner
        unit_u, unit_v = self.right / (self.right @ self.right), self.down / (self.down @ self.down)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.float32(-self.normal @ offset) / rays.along(self.normal)
            u = rays.along(unit_u) * depth + np.float32(unit_u @ offset)
            v = rays.along(unit_v) * depth + np.float32(unit_v @ offset)
        hit = (depth > 0) & (np.abs(u - np.float32(0.5)) <= 0.5 + _SEAM) & (np.abs(v - np.float32(0.5)) <= 0.5 + _SEAM)
        if self.round:
            hit &= (u - 0.5) ** 2 + (v - 0.5) ** 2 <= 0.25
        for u0, v0, u1, v1 in self.holes:
            hit &= ~((u > u0) & (u < u1) & (v > v0) & (v < v1))
        return np.where(hit, depth, np.float32(np.inf)), u, v


@dataclass(frozen=True, eq=False)
class Sphere:
    """A ball; its sheet is longitude × latitude about the world's z axis."""

    center: Float64Array
    radius: float

    def corners(self) -> Float64Array:
        return self.center + self.radius * (2.0 * np.array(list(np.ndindex(2, 2, 2))) - 1)

    def distance(self, origin: Float64Array) -> float:
        return float(np.linalg.norm(origin - self.center)) - self.radius

    def cast(self, rays: Rays) -> Hits:
        offset = rays.origin - self.center
        direction = [rays.along(axis) for axis in np.eye(3)]
        squared = direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2
        # The foot of the perpendicular from the centre, then half a chord back: no difference of large squares.
        foot = -rays.along(offset) / squared
        to_foot = [np.float32(offset[i]) + foot * direction[i] for i in range(3)]
        half_chord2 = (np.float32(self.radius**2) - to_foot[0] ** 2 - to_foot[1] ** 2 - to_foot[2] ** 2) / squared
        depth = foot - np.sqrt(np.maximum(half_chord2, 0))
        depth = np.where((half_chord2 > 0) & (depth > 0), depth, np.float32(np.inf))
        finite = np.where(np.isfinite(depth), depth, 0)
        x, y, z = (np.float32(offset[i]) + finite * direction[i] for i in range(3))
        v = np.arccos(np.clip(z / np.float32(self.radius), -1, 1)) / np.float32(np.pi)
        return depth, longitude(x, y), v


@dataclass(frozen=True, eq=False)
class Cylinder:
    """An upright column without its ends; its sheet is the unrolled mantle, `base` (3,) the centre of its foot."""

    base: Float64Array
    radius: float
    height: float

    def corners(self) -> Float64Array:
        unit = np.array(list(np.ndindex(2, 2, 2)))
        reach = np.array([2 * self.radius, 2 * self.radius, self.height])
        return self.base - np.array([self.radius, self.radius, 0]) + unit * reach

    def distance(self, origin: Float64Array) -> float:
        return float(np.linalg.norm((origin - self.base)[:2])) - self.radius

    def cast(self, rays: Rays) -> Hits:
        offset = rays.origin - self.base
        dx, dy, dz = (rays.along(axis) for axis in np.eye(3))
        squared = dx**2 + dy**2
        foot = -rays.along([offset[0], offset[1], 0]) / squared
        to_x, to_y = np.float32(offset[0]) + foot * dx, np.float32(offset[1]) + foot * dy
        half_chord2 = (np.float32(self.radius**2) - to_x**2 - to_y**2) / squared
        depth = foot - np.sqrt(np.maximum(half_chord2, 0))
        v = 1 - (np.float32(offset[2]) + depth * dz) / np.float32(self.height)
        hit = (half_chord2 > 0) & (depth > 0) & (np.abs(v - 0.5) <= 0.5 + _SEAM)
        u = longitude(np.float32(offset[0]) + depth * dx, np.float32(offset[1]) + depth * dy)
        return np.where(hit, depth, np.float32(np.inf)), u, v


def longitude(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the sheet's u of a direction seen from the axis: growing to the right for a viewer outside, the seam at
    +y.
    """
    return np.arctan2(x, -y).astype(np.float32) / np.float32(2 * np.pi) + np.float32(0.5)


def cylinder_normals(grid: Grid) -> FloatArray:
    """Return outward unit vectors (rows, columns, 3) of a cylinder's sheet."""
    return _around(grid, np.zeros((grid.shape[0], 1), np.float32))


def sphere_normals(grid: Grid) -> FloatArray:
    """Return outward unit vectors (rows, columns, 3) of a sphere's sheet."""
    return _around(grid, np.cos(grid.v / np.float32(grid.height) * np.float32(np.pi))[:, None])


def _around(grid: Grid, upward: FloatArray) -> FloatArray:
    angle = (grid.u / np.float32(grid.width) - np.float32(0.5)) * np.float32(2 * np.pi)
    flat = np.sqrt(np.maximum(1 - upward**2, 0))
    return np.stack(np.broadcast_arrays(flat * np.sin(angle), -flat * np.cos(angle), upward), axis=-1)
