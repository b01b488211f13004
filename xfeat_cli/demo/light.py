"""One sun and a sky: how much light reaches each point of a scene.

All surfaces are matt, so light is computed once per scene, not per view. Shadows on flat patches are exact: every
occluder's outline is projected along the light onto the patch. Curved shapes cast shadows and have a shaded side, but
receive no shadows from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.cameras import Float64Array
from xfeat_cli.demo.noise import FloatArray, Grid
from xfeat_cli.demo.surfaces import Cylinder, Patch, Shape, Sphere

SUN = np.array([-0.52, -0.62, 0.66]) / np.linalg.norm([-0.52, -0.62, 0.66])

_SUN_COLOUR = np.array([1.0, 0.93, 0.80])
_SKY_COLOUR = np.array([0.30, 0.35, 0.43])
_BOUNCE_COLOUR = np.array([0.15, 0.135, 0.115])
_EXPOSURE = 1.3
_DISPLAY_GAMMA = 1 / 2.2
_SUN_OUTLINE_POINTS = 32
_SKY_OUTLINE_POINTS = 8
_CONTACT = 1e-3  # metres; what rises less than this above a patch lies in it and casts nothing on it
_PENUMBRA = 0.010  # metres
_SKY_DIRECTIONS = 7
_SKY_TEXEL = 0.05  # metres
_SKY_BLUR = 0.12  # metres
_SUBPIXEL_BITS = 4


def _sky_directions() -> Float64Array:
    azimuth = np.arange(_SKY_DIRECTIONS) * np.pi * (3 - np.sqrt(5))
    height = 0.22 + 0.76 * (np.arange(_SKY_DIRECTIONS) + 0.5) / _SKY_DIRECTIONS
    flat = np.sqrt(1 - height**2)
    return np.column_stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height])


@dataclass(frozen=True, eq=False)
class Occluders:
    """Closed contours (P, C, 3), C of P points each, of everything that can block light from `toward` (3,).

    Contours with the same number in `body` (C,), which never falls, belong together: an outline, then its openings.
    """

    toward: Float64Array
    contours: Float64Array
    body: npt.NDArray[np.intp]

    @classmethod
    def of(cls, shapes: Sequence[Shape], toward: Float64Array, points: int) -> Occluders:
        """Return the outlines of `shapes` as seen from the direction `toward`; `points`, a multiple of 4, make a
        circle.
        """
        grouped = [_contours(shape, toward, points) for shape in shapes]
        contours = np.stack(
            [contour.repeat(points // len(contour), axis=0) for group in grouped for contour in group], axis=1
        )
        return cls(toward, contours, np.repeat(np.arange(len(grouped)), [len(group) for group in grouped]))

    def visibility(self, patch: Patch, grid: Grid, blur: float) -> FloatArray:
        """Return the share of the light's disc seen from the patch, (rows, columns), softened by `blur` metres."""
        rows, columns = grid.shape
        lit = np.ones((rows, columns), np.float32)
        to_texels = np.stack([patch.right / grid.width**2 * columns, patch.down / grid.height**2 * rows], axis=1)
        normal = patch.normal
        height = (self.contours - patch.corner) @ normal
        unmoved = (self.contours - patch.corner) @ to_texels - 0.5
        drop = self.toward @ to_texels / (normal @ self.toward)
        shadow = unmoved - np.maximum(height, 0)[..., None] * drop
        low, high = np.minimum(shadow, unmoved).min(0), np.maximum(shadow, unmoved).max(0)
        reaches = (height.max(0) > _CONTACT) & (high > -1).all(1) & (low < (columns, rows)).all(1)
        chosen = np.flatnonzero(reaches)
        points, kept = _clipped(unmoved[:, chosen], height[:, chosen], shadow[:, chosen])
        fixed = np.round(points * 2**_SUBPIXEL_BITS).astype(np.int32)
        starts = np.flatnonzero(np.diff(self.body[chosen], prepend=-1))
        for first, last in pairwise([*starts.tolist(), len(chosen)]):
            together = [fixed[kept[:, i], i] for i in range(first, last)]
            cv2.fillPoly(lit, together, 0.0, cv2.LINE_8, _SUBPIXEL_BITS)
        sigma = max(0.6, blur / grid.texel)
        return np.asarray(cv2.GaussianBlur(lit, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


@dataclass(frozen=True, eq=False)
class Lighting:
    """The sun's and the sky's occluders of one scene."""

    sun: Occluders
    sky: tuple[Occluders, ...]

    @classmethod
    def of(cls, shapes: Sequence[Shape]) -> Lighting:
        """Light for a scene made of `shapes`."""
        sky = tuple(Occluders.of(shapes, toward, _SKY_OUTLINE_POINTS) for toward in _sky_directions())
        return cls(Occluders.of(shapes, SUN, _SUN_OUTLINE_POINTS), sky)

    def on_patch(self, patch: Patch, grid: Grid) -> FloatArray:
        """Return factors (rows, columns, 3) for display colours: about 1 where a surface faces the sun."""
        sunward = float(patch.normal @ SUN)
        direct = self.sun.visibility(patch, grid, _PENUMBRA) * sunward if sunward > 0.02 else np.float32(0)
        return _display(direct, self._openness(patch, grid), (1 - patch.normal[2]) / 2)

    def on_curve(self, normals: FloatArray, grounded: FloatArray) -> FloatArray:
        """Return factors (..., 3) for curved surfaces with unit normals (..., 3); `grounded` (...) is the sky's
        share.
        """
        direct = np.maximum(normals @ SUN.astype(np.float32), 0)
        return _display(direct, grounded * (0.5 + 0.5 * normals[..., 2]), 0.5 - 0.5 * normals[..., 2])

    def _openness(self, patch: Patch, grid: Grid) -> FloatArray:
        """Return the share of the sky seen from the patch, weighted by the cosine: 1 for open ground."""
        coarse = Grid(grid.width, grid.height, max(grid.texel, _SKY_TEXEL))
        total = np.zeros(coarse.shape, np.float32)
        for occluders in self.sky:
            cosine = float(patch.normal @ occluders.toward)
            if cosine > 0.05:
                total += np.float32(cosine) * occluders.visibility(patch, coarse, _SKY_BLUR)
        total /= np.float32(sum(occluders.toward[2] for occluders in self.sky))
        rows, columns = grid.shape
        return np.asarray(cv2.resize(total, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def _display(direct: FloatArray | np.float32, sky: FloatArray, downward: FloatArray | float) -> FloatArray:
    bounce = np.asarray(downward, np.float32)
    factors = np.empty((*sky.shape, 3), np.float32)
    for channel in range(3):
        light = direct * np.float32(_SUN_COLOUR[channel]) + sky * np.float32(_SKY_COLOUR[channel])
        light = light + bounce * np.float32(_BOUNCE_COLOUR[channel]) + np.float32(0.012)
        factors[..., channel] = np.power(light * np.float32(_EXPOSURE), np.float32(_DISPLAY_GAMMA))
    return factors


def _contours(shape: Shape, toward: Float64Array, points: int) -> list[Float64Array]:
    """Return a shape's outline as seen from `toward`, then its openings, each (K, 3)."""
    if isinstance(shape, Patch):
        openings = [shape.at(np.array([u0, u1, u1, u0]), np.array([v0, v0, v1, v1])) for u0, v0, u1, v1 in shape.holes]
        if shape.round:
            return [_circle(shape.at(0.5, 0.5), shape.right / 2, shape.down / 2, points)]
        return [shape.corners(), *openings]
    across = np.cross(toward, [0, 0, 1])
    across /= np.linalg.norm(across)
    if isinstance(shape, Sphere):
        return [_circle(shape.center, across * shape.radius, np.cross(toward, across) * shape.radius, points)]
    if isinstance(shape, Cylinder):
        side, up = across * shape.radius, np.array([0, 0, shape.height])
        return [shape.base + np.array([-side, side, side + up, up - side])]
    raise TypeError(f"no outline is known for {type(shape).__name__}")


def _clipped(
    unmoved: Float64Array, height: Float64Array, shadow: Float64Array
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Return the shadows (2P, B, 2) of the parts of contours (P, B, 2) at `height` (P, B) ≥ 0, and which points to
    keep.
    """
    above = height >= 0
    following = np.roll(height, -1, axis=0)
    crosses = above != (following >= 0)
    share = np.where(crosses, height / np.where(crosses, height - following, 1), 0)
    crossing = unmoved + (np.roll(unmoved, -1, axis=0) - unmoved) * share[..., None]
    points = np.stack([shadow, crossing], axis=1).reshape(2 * len(height), height.shape[1], 2)
    return points, np.stack([above, crosses], axis=1).reshape(points.shape[:2])


def _circle(center: Float64Array, a: Float64Array, b: Float64Array, points: int) -> Float64Array:
    angle = np.arange(points) * (2 * np.pi / points)
    return center + np.cos(angle)[:, None] * a + np.sin(angle)[:, None] * b
