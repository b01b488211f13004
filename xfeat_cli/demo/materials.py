"""What surfaces are made of: display colours (0…1, float32 RGB) over a `Grid`, before light falls on them.

Edges are softened over one texel, so nothing here is finer than the grid can carry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.demo.noise import FloatArray, Grid, Key, fractal, solid_fractal
from xfeat_cli.demo.surfaces import sphere_normals

Material = Callable[[Grid, Key], FloatArray]
Colour = tuple[float, float, float]

TERRACOTTA: Sequence[Colour] = ((0.60, 0.34, 0.25), (0.66, 0.40, 0.29), (0.52, 0.29, 0.23), (0.70, 0.46, 0.34))
SANDSTONE: Sequence[Colour] = ((0.80, 0.72, 0.58), (0.74, 0.66, 0.53), (0.84, 0.77, 0.64), (0.69, 0.61, 0.50))
GRANITE: Sequence[Colour] = ((0.58, 0.57, 0.55), (0.50, 0.50, 0.50), (0.64, 0.62, 0.58), (0.45, 0.44, 0.43))
TIMBER: Sequence[Colour] = ((0.58, 0.42, 0.27), (0.50, 0.35, 0.22), (0.64, 0.48, 0.32), (0.45, 0.32, 0.21))


def masonry(
    palette: Sequence[Colour], unit: tuple[float, float], joint: float, mortar: Colour, spread: float = 0.10
) -> Material:
    """Return blocks of `unit` = (width, height) metres in running bond with joints of `joint` metres.

    Each block has its own tone (standard deviation `spread`), worn edges and a lit upper, shaded lower arris.
    """

    def paint(grid: Grid, key: Key) -> FloatArray:
        rng = np.random.default_rng(key)
        across = grid.width / max(1, round(grid.width / unit[0])) if grid.around else unit[0]
        row = np.floor(grid.v / unit[1]).astype(np.intp)
        table = rng.choice(np.array(palette, np.float32), (row.max() + 1, round(grid.width / across) + 3))
        table = table * (1 + spread * rng.standard_normal((*table.shape[:2], 1))).astype(np.float32)
        if grid.around:
            table[:, round(grid.width / across)] = table[:, 0]
        slide = np.where(np.arange(row.max() + 1) % 2 == 0, 0, 0.5) + rng.uniform(-0.06, 0.06, row.max() + 1)
        shifted = grid.u[None, :] / np.float32(across) + slide.astype(np.float32)[:, None] % 1
        column = np.floor(shifted)
        to_side = (0.5 - np.abs(shifted - column - 0.5)) * np.float32(across)
        to_upper = grid.v - row * np.float32(unit[1])
        to_edge = np.minimum(to_side[row], np.minimum(to_upper, unit[1] - to_upper)[:, None])
        grain = fractal(grid, unit[1], (*key, 1), octaves=5, gain=0.75)
        block = _ramp(to_edge - joint / 2 - np.abs(grain) * joint * 0.22, grid.texel)
        arris = np.clip(1 - (to_edge - joint / 2) / max(0.006, 1.2 * grid.texel), 0, 1)
        arris *= np.where(to_upper < unit[1] / 2, 0.10, -0.16).astype(np.float32)[:, None]
        stone = table[np.arange(len(table))[:, None], column.astype(np.intp)][row]
        stone *= (1 + 0.07 * grain + arris)[..., None]
        bed = np.array(mortar, np.float32) * (1 + 0.08 * grain)[..., None]
        return weathered(bed + block[..., None] * (stone - bed), grid, key)

    return paint


def plaster(colour: Colour, bare: Colour = (0.62, 0.50, 0.42)) -> Material:
    """Return old plaster: blotches, hairline cracks, and patches fallen off to the wall below."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        grain = fractal(grid, 0.12, (*key, 1), octaves=5, gain=0.8)
        blotch = fractal(grid, 1.1, (*key, 2), octaves=4)
        pit = np.clip(fractal(grid, 0.026, (*key, 5), octaves=1) - 1.6, 0, 1)
        tone = 1 + 0.055 * grain + 0.06 * blotch - 0.30 * pit
        wall = np.array(colour, np.float32) * tone[..., None]
        fallen = fractal(grid, 0.7, (*key, 3), octaves=6, gain=0.65) - 1.55
        under = np.array(bare, np.float32) * (1 + 0.12 * grain)[..., None]
        hole = _ramp(fallen * 0.12, grid.texel)[..., None]
        rim = np.clip(1 - np.abs(fallen) / 0.10, 0, 1)[..., None]
        wall = (wall + hole * (under - wall)) * (1 - 0.18 * rim)
        crack = np.abs(fractal(grid, 0.9, (*key, 4), octaves=6, gain=0.55))
        wall *= 1 - 0.30 * np.clip(1 - crack / 0.018, 0, 1)[..., None]
        return weathered(wall, grid, key)

    return paint


def planks(width: float, palette: Sequence[Colour] = TIMBER, upright: bool = True) -> Material:
    """Return boards of `width` metres with grain along them, gaps, and nails at their ends."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        turned = grid if upright else Grid(grid.height, grid.width, grid.texel)
        rng = np.random.default_rng(key)
        boards = max(1, round(turned.width / width))
        across = turned.width / boards
        number = np.minimum((turned.u / across).astype(np.intp), boards - 1)
        tone = rng.choice(np.array(palette, np.float32), boards) * rng.normal(1, 0.09, (boards, 1)).astype(np.float32)
        fibre = fractal(turned, 0.05, (*key, 1), octaves=4, gain=0.8, stretch=9)
        knots = fractal(turned, 0.16, (*key, 2), octaves=2, stretch=1.6)
        wood = tone[number][None] * (1 + 0.10 * fibre - 0.22 * np.clip(knots - 1.5, 0, 1))[..., None]
        to_gap = np.abs((turned.u / across) % 1 - 0.5)
        gap = _ramp((0.5 - to_gap) * across - 0.004, turned.texel)
        wood *= (0.35 + 0.65 * gap)[None, :, None]
        for end in (0.05, turned.height - 0.05):
            for side in (0.28, 0.72):
                distance2 = ((turned.u / across) % 1 - side)[None] ** 2 * across**2 + ((turned.v - end) ** 2)[:, None]
                wood *= (1 - 0.65 * _ramp(0.008 - np.sqrt(distance2), turned.texel))[..., None]
        return wood if upright else np.ascontiguousarray(wood.transpose(1, 0, 2)[::-1])

    return paint


def window(panes: tuple[int, int], frame: Colour = (0.86, 0.84, 0.78)) -> Material:
    """Return a window: `panes` (columns, rows) of dark glass with a pale curtain behind, bars and a frame."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        rng = np.random.default_rng(key)
        columns, rows = panes
        column = np.minimum((grid.u / grid.width * columns).astype(np.intp), columns - 1)
        row = np.minimum((grid.v / grid.height * rows).astype(np.intp), rows - 1)
        glass = rng.uniform(0.10, 0.26, (rows, columns))[row[:, None], column].astype(np.float32)
        glass = glass + 0.16 * (1 - grid.v / grid.height)[:, None] + 0.05 * fractal(grid, 0.5, (*key, 1), 3)
        picture = glass[..., None] * np.array([0.85, 1.0, 1.12], np.float32)
        drop = grid.height * rng.uniform(0.35, 0.75) + 0.03 * np.sin(grid.u * 40)
        folds = 0.62 + 0.10 * np.sin(grid.u * 2 * np.pi / 0.09 + 2 * np.sin(grid.u * 7))
        open_ = np.abs(grid.u / grid.width - 0.5) - rng.uniform(0.1, 0.3)
        curtain = _ramp(drop[None] - grid.v[:, None], grid.texel) * _ramp(open_ * grid.width, grid.texel)[None]
        cloth = folds[None, :, None] * np.array([0.95, 0.90, 0.82], np.float32)
        picture += curtain[..., None] * (cloth - picture)
        bar_u = 0.5 * grid.width / columns - np.abs((grid.u * columns / grid.width) % 1 - 0.5) * grid.width / columns
        bar_v = 0.5 * grid.height / rows - np.abs((grid.v * rows / grid.height) % 1 - 0.5) * grid.height / rows
        bars = np.maximum(_ramp(0.022 - bar_u, grid.texel)[None], _ramp(0.022 - bar_v, grid.texel)[:, None])
        paintwork = np.array(frame, np.float32) * (1 + 0.06 * fractal(grid, 0.06, (*key, 2), 4))[..., None]
        return picture + bars[..., None] * (paintwork - picture)

    return paint


def smooth(colour: Colour, roughness: float = 0.06) -> Material:
    """Return dressed stone, paint or metal: one colour with fine grain and a few stains."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        tone = 1 + roughness * fractal(grid, 0.10, (*key, 1), octaves=5, gain=0.85)
        speck = np.clip(fractal(grid, 0.021, (*key, 2), octaves=1) - 1.5, 0, 1)
        return weathered(np.array(colour, np.float32) * (tone - 0.25 * speck)[..., None], grid, key)

    return paint


def weathered(picture: FloatArray, grid: Grid, key: Key) -> FloatArray:
    """Return large stains, streaks run down by rain, and lichen spots, added to any picture of shape (rows, columns,
    3).

    Surfaces too small to show them stay as they are.
    """
    if grid.width * grid.height < 0.2:
        return picture
    stain = fractal(grid, 1.6, (*key, 101), octaves=5)
    streak = fractal(grid, 0.16, (*key, 102), octaves=3, stretch=10)
    lichen = _ramp((fractal(grid, 0.16, (*key, 103), octaves=4, gain=0.7) - 2.1) * 0.05, grid.texel)
    picture = picture * (1 + 0.055 * stain - 0.06 * np.clip(streak - 0.6, 0, 2))[..., None]
    spots = np.array([0.70, 0.70, 0.56], np.float32)
    return picture + 0.55 * lichen[..., None] * (spots - picture)


def rock(colour: Colour) -> Material:
    """Return speckled stone for carved balls (sheets of spheres)."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        points = sphere_normals(grid) * np.float32(grid.height / np.pi)
        coarse = solid_fractal(points, 0.35, (*key, 1), grid.texel, octaves=4)
        fine = solid_fractal(points, 0.06, (*key, 2), grid.texel, octaves=3)
        tone = 1 + 0.12 * coarse + 0.12 * fine - 0.35 * np.clip(fine - 1.3, 0, 1)
        return np.array(colour, np.float32) * tone[..., None]

    return paint


def spotted(colours: Sequence[Colour], spots: int) -> Material:
    """Return a painted ball (sheets of spheres): the first colour, then round spots of random sizes in the others."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        rng = np.random.default_rng(key)
        radius = np.float32(grid.height / np.pi)
        directions = sphere_normals(grid)
        picture = np.broadcast_to(np.array(colours[0], np.float32), directions.shape).copy()
        for _ in range(spots):
            towards = rng.standard_normal(3)
            cosine = directions @ (towards / np.linalg.norm(towards)).astype(np.float32)
            inside = np.float32(rng.uniform(0.07, 0.34)) - np.arccos(np.clip(cosine, -1, 1))
            colour = np.array(colours[int(rng.integers(1, len(colours)))], np.float32)
            picture += _ramp(inside * radius, grid.texel)[..., None] * (colour - picture)
        wear = solid_fractal(directions * radius, 0.12, (*key, 1), grid.texel, octaves=4)
        return picture * (1 + 0.05 * wear - 0.25 * np.clip(wear - 1.6, 0, 1))[..., None]

    return paint


def with_decals(base: Material, decals: Sequence[tuple[float, float, float, npt.NDArray[np.uint8]]]) -> Material:
    """Glue pictures onto a material: each is (left, top, width in metres, (h, w, 4) uint8 RGBA)."""

    def paint(grid: Grid, key: Key) -> FloatArray:
        picture = base(grid, key)
        fade = 1 + 0.05 * fractal(grid, 0.3, (*key, 201), octaves=4)
        rows, columns = grid.shape
        for left, top, width, decal in decals:
            scale = width / decal.shape[1]
            shrink = min(1.0, scale / grid.texel)
            small = cv2.resize(decal, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            step = width / small.shape[1]
            x0, y0 = int(left / grid.texel) - 2, int(top / grid.texel) - 2
            x1 = min(columns, int((left + width) / grid.texel) + 3)
            y1 = min(rows, int((top + step * small.shape[0]) / grid.texel) + 3)
            x0, y0 = max(0, x0), max(0, y0)
            x = (grid.u[x0:x1] - left) / np.float32(step) - np.float32(0.5)
            y = (grid.v[y0:y1] - top) / np.float32(step) - np.float32(0.5)
            maps = np.meshgrid(x, y)
            glued = cv2.remap(small, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            part = picture[y0:y1, x0:x1]
            part += glued[..., 3:] * (glued[..., :3] * fade[y0:y1, x0:x1, None] - part)
        return picture

    return paint


def _ramp(inside: npt.NDArray[np.floating], texel: float) -> FloatArray:
    """Return coverage of a texel by a region, from the distance to its edge in metres, positive inside."""
    return np.clip(inside / np.float32(texel) + np.float32(0.5), 0, 1).astype(np.float32)
