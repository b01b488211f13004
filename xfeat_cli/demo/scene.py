"""A scene: shapes with their finished sheets, lit once. Every view of it is only a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xfeat_cli.demo.light import Lighting
from xfeat_cli.demo.materials import Material
from xfeat_cli.demo.noise import FloatArray, Grid, Key
from xfeat_cli.demo.sheet import Sheet
from xfeat_cli.demo.surfaces import Cylinder, Patch, Shape, Sphere, cylinder_normals, sphere_normals


@dataclass(frozen=True, eq=False)
class Thing:
    """A shape and what it is made of; `sharpness` > 1 asks for finer texels where cameras come close."""

    shape: Shape
    material: Material
    sharpness: float = 1.0


@dataclass(frozen=True, eq=False)
class Scene:
    """`shapes` with one sheet each; what lies behind all of them is sky."""

    shapes: Sequence[Shape]
    sheets: Sequence[Sheet]


def finish(things: Sequence[Thing], texel: float, seed: int, threads: int = 1) -> Scene:
    """Paint and light every thing at about `texel` metres. The same seed gives the same scene for any `threads`."""
    lighting = Lighting.of([thing.shape for thing in things])

    def work(numbered: tuple[int, Thing]) -> Sheet:
        number, thing = numbered
        return _sheet(thing, texel / thing.sharpness, (seed, number), lighting)

    with ThreadPoolExecutor(threads) as pool:
        return Scene([thing.shape for thing in things], list(pool.map(work, enumerate(things))))


def _sheet(thing: Thing, texel: float, key: Key, lighting: Lighting) -> Sheet:
    shape, material = thing.shape, thing.material
    if isinstance(shape, Patch):
        grid = Grid(*shape.extent, texel)
        return Sheet.of(_encoded(material(grid, key), lighting.on_patch(shape, grid)), texel)
    if isinstance(shape, Cylinder):
        grid = Grid(2 * np.pi * shape.radius, shape.height, texel, around=True)
        normals = cylinder_normals(grid)
        grounded = 1 - 0.5 * np.exp((grid.v - shape.height) / np.float32(0.12))[:, None]
        light = lighting.on_curve(normals, np.broadcast_to(grounded, grid.shape))
        return Sheet.of(_encoded(material(grid, key), light), texel, around=True)
    if isinstance(shape, Sphere):
        grid = Grid(2 * np.pi * shape.radius, np.pi * shape.radius, texel, around=True)
        normals = sphere_normals(grid)
        light = lighting.on_curve(normals, 0.55 + 0.45 * np.clip(normals[..., 2] + 0.7, 0, 1))
        return Sheet.of(_encoded(material(grid, key), light), texel, around=True)
    raise TypeError(f"no sheet is known for {type(shape).__name__}")


def _encoded(colours: FloatArray, light: FloatArray) -> npt.NDArray[np.uint8]:
    product = colours * light
    product *= 255
    return np.clip(product, 0, 255, out=product).round().astype(np.uint8)
