"""The demo's place: a sunny courtyard, about 14 × 8 metres.

World: x to the right along the facade, y into it, z up, metres. The main facade is the plane y = 0 and is looked at
from negative y. Paint, marks and tones depend on the seed; the architecture does not.
"""

from __future__ import annotations

import numpy as np

from xfeat_cli.demo.materials import (
    GRANITE,
    SANDSTONE,
    TERRACOTTA,
    TIMBER,
    Colour,
    Material,
    masonry,
    planks,
    plaster,
    rock,
    smooth,
    spotted,
    window,
    with_decals,
)
from xfeat_cli.demo.posters import PIXELS_PER_METRE, graffiti, poster, sign
from xfeat_cli.demo.scene import Thing
from xfeat_cli.demo.surfaces import Cylinder, Patch, Sphere

Triple = tuple[float, float, float]
Opening = tuple[float, float, float, float]

_LEFT, _RIGHT, _FRONT, _TOP = -7.0, 7.0, -8.2, 5.4
_STONE: Colour = (0.78, 0.73, 0.64)
_WHITE: Colour = (0.87, 0.85, 0.80)
_GREEN: tuple[Colour, ...] = ((0.23, 0.40, 0.34), (0.26, 0.44, 0.37), (0.21, 0.37, 0.31))
_BLUE: tuple[Colour, ...] = ((0.28, 0.40, 0.53), (0.31, 0.44, 0.57), (0.25, 0.36, 0.49))

# (left, bottom, right, top) on the facade, metres
_DOOR: Opening = (-0.75, 0.45, 0.75, 2.75)
_GROUND_WINDOWS: tuple[Opening, ...] = ((-5.75, 1.15, -4.55, 2.55), (-3.05, 1.15, -1.85, 2.55), (3.7, 1.15, 5.3, 2.55))
_UPPER_WINDOWS: tuple[Opening, ...] = tuple((x - 0.5, 3.55, x + 0.5, 4.85) for x in (-5.15, -2.45, 0.0, 2.45, 5.0))


def courtyard(seed: int) -> list[Thing]:
    """Return everything that stands in the courtyard."""
    return [*_walls(seed), *_facade(seed), *_entrance(), *_furniture(seed)]


def _box(
    low: Triple, high: Triple, material: Material, front: Material | None = None, sides: str = "flrt"
) -> list[Thing]:
    """Return the chosen sides of an upright box: front (−y), left, right, top, bottom; `front` is that side's own
    material.
    """
    (x0, y0, z0), (x1, y1, z1) = low, high
    dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
    patches = {
        "f": _patch((x0, y0, z1), (dx, 0, 0), (0, 0, -dz)),
        "l": _patch((x0, y1, z1), (0, -dy, 0), (0, 0, -dz)),
        "r": _patch((x1, y0, z1), (0, dy, 0), (0, 0, -dz)),
        "t": _patch((x0, y1, z1), (dx, 0, 0), (0, -dy, 0)),
        "b": _patch((x0, y0, z0), (dx, 0, 0), (0, dy, 0)),
    }
    return [Thing(patches[side], front if front and side == "f" else material) for side in sides]


def _patch(corner: Triple, right: Triple, down: Triple, holes: tuple[Opening, ...] = ()) -> Patch:
    return Patch(np.array(corner, float), np.array(right, float), np.array(down, float), holes)


def _recess(opening: Opening, depth: float, reveal: Material, back: Material) -> list[Thing]:
    """Return the inside of an opening in the facade: four reveals and what closes it at the back."""
    x0, z0, x1, z1 = opening
    dx, dz = x1 - x0, z1 - z0
    return [
        Thing(_patch((x0, 0, z1), (0, depth, 0), (0, 0, -dz)), reveal),
        Thing(_patch((x1, depth, z1), (0, -depth, 0), (0, 0, -dz)), reveal),
        Thing(_patch((x0, depth, z0), (dx, 0, 0), (0, -depth, 0)), reveal),
        Thing(_patch((x0, 0, z1), (dx, 0, 0), (0, depth, 0)), reveal),
        Thing(_patch((x0, depth, z1), (dx, 0, 0), (0, 0, -dz)), back),
    ]


def _walls(seed: int) -> list[Thing]:
    paving = masonry(GRANITE, (0.52, 0.34), 0.016, (0.36, 0.33, 0.28), spread=0.10)
    brick = masonry(TERRACOTTA, (0.25, 0.085), 0.014, (0.72, 0.68, 0.61))
    posters = [
        (1.4, 0.9, 0.9, poster((seed, 11), 0.9, 1.3)),
        (2.45, 1.0, 0.7, poster((seed, 12), 0.7, 1.0)),
        (5.2, 0.8, 1.0, poster((seed, 13), 1.0, 1.35)),
    ]
    left = with_decals(brick, [*posters, (3.3, 1.1, 1.8, graffiti((seed, 14), 1.8, 1.2))])
    right = with_decals(
        masonry(SANDSTONE, (0.46, 0.24), 0.012, (0.66, 0.60, 0.50)),
        [
            (1.2, 1.2, 2.2, graffiti((seed, 15), 2.2, 1.3)),
            (4.4, 0.9, 0.9, poster((seed, 16), 0.9, 1.25)),
            (5.6, 1.1, 0.7, poster((seed, 17), 0.7, 0.95)),
        ],
    )
    depth = -_FRONT
    low = smooth(_STONE)
    neighbour = _neighbour_house()
    return [
        Thing(_patch((_LEFT, 0, 0), (_RIGHT - _LEFT, 0, 0), (0, -depth, 0)), paving),
        Thing(_patch((_LEFT, _FRONT, 3.0), (0, depth, 0), (0, 0, -3.0)), left),
        Thing(_patch((_RIGHT, 0, 3.4), (0, -depth, 0), (0, 0, -3.4)), right),
        *_box((_LEFT - 0.35, _FRONT, 3.0), (_LEFT + 0.08, 0, 3.12), low, sides="frtb"),
        *_box((_RIGHT - 0.08, _FRONT, 3.4), (_RIGHT + 0.35, 0, 3.52), low, sides="fltb"),
        *neighbour,
    ]


def _neighbour_house() -> list[Thing]:
    """Return what shows above the walls: the houses next door."""
    far = plaster((0.80, 0.62, 0.46))
    things = [
        Thing(_patch((-11.0, 4.0, 8.6), (9.0, 0, 0), (0, 0, -5.6)), far, 0.7),
        Thing(
            _patch((-1.0, 7.0, 9.6), (15.0, 0, 0), (0, 0, -6.0)), masonry(TERRACOTTA, (0.3, 0.11), 0.02, _STONE), 0.6
        ),
        Thing(_patch((-11.5, -9.0, 7.4), (0, 13.0, 0), (0, 0, -5.4)), plaster((0.70, 0.72, 0.66)), 0.7),
        Thing(_patch((11.5, 6.0, 7.8), (0, -15.0, 0), (0, 0, -5.4)), plaster((0.84, 0.76, 0.58)), 0.7),
    ]
    glazing = window((2, 3))
    for x in (-9.8, -7.6, -5.4, -3.6):
        things += _box((x, 3.93, 6.2), (x + 0.95, 4.0, 7.6), smooth(_WHITE), front=glazing)
    for x in (0.4, 2.6, 4.8, 7.0, 9.2):
        things += _box((x, 6.93, 6.9), (x + 1.1, 7.0, 8.5), smooth(_WHITE), front=glazing)
    for y in (-6.5, -4.2, -1.9):
        things.append(Thing(_patch((-11.47, y, 6.2), (0, 1.0, 0), (0, 0, -1.5)), glazing))
        things.append(Thing(_patch((11.47, y + 1.0, 6.4), (0, -1.0, 0), (0, 0, -1.5)), glazing))
    return things


def _facade(seed: int) -> list[Thing]:
    width, height = _RIGHT - _LEFT, _TOP
    holes = tuple(
        ((x0 - _LEFT) / width, (_TOP - z1) / height, (x1 - _LEFT) / width, (_TOP - z0) / height)
        for x0, z0, x1, z1 in (_DOOR, *_GROUND_WINDOWS, *_UPPER_WINDOWS)
    )
    stone = masonry(SANDSTONE, (0.62, 0.3), 0.010, (0.58, 0.53, 0.45))
    dressed = smooth(_STONE)
    number = sign("17", 0.34, (235, 235, 228), (28, 52, 104))
    wall = with_decals(
        plaster((0.86, 0.74, 0.55)),
        [
            (1.55 - _LEFT, _TOP - 2.45, 0.74, poster((seed, 50), 0.74, 1.02)),
            (2.37 - _LEFT, _TOP - 2.30, 0.52, poster((seed, 51), 0.52, 0.70)),
            (-1.45 - _LEFT, _TOP - 4.50, number.shape[1] / PIXELS_PER_METRE, number),
        ],
    )
    tagged = with_decals(stone, [(3.0, 0.1, 1.9, graffiti((seed, 52), 1.9, 0.65))])
    things = [
        Thing(_patch((_LEFT, 0, _TOP), (width, 0, 0), (0, 0, -height), holes), wall),
        *_box((_LEFT, -0.10, 0), (_DOOR[0] - 0.3, 0, 0.85), stone, front=tagged),
        *_box((_DOOR[2] + 0.3, -0.10, 0), (_RIGHT, 0, 0.85), stone),
    ]
    things += _box((_LEFT, -0.22, 2.98), (_RIGHT, 0, 3.22), masonry(SANDSTONE, (0.9, 0.5), 0.008, _STONE), sides="ftb")
    things += _box((_LEFT, -0.34, 5.16), (_RIGHT, 0, 5.40), masonry(SANDSTONE, (1.1, 0.5), 0.008, _STONE), sides="ftb")
    for x in (_LEFT + 0.05, -3.85, 3.0, _RIGHT - 0.45):
        things += _box((x, -0.14, 0.85), (x + 0.4, 0, 2.98), stone)
        things += _box((x + 0.04, -0.10, 3.22), (x + 0.36, 0, 5.16), stone)
    for opening in _GROUND_WINDOWS:
        things += _window(opening, (3 if opening[2] - opening[0] > 1.4 else 2, 3), _GREEN)
    for opening in _UPPER_WINDOWS:
        things += _window(opening, (2, 4), _BLUE)
    for x in (-4.2, 1.6):
        things += _box((x, -0.03, 4.0), (x + 0.22, 0, 4.55), dressed)
    return things


def _window(opening: Opening, panes: tuple[int, int], shutters: tuple[Colour, ...]) -> list[Thing]:
    x0, z0, x1, z1 = opening
    leaf = (x1 - x0) / 2 - 0.12
    board = planks(0.055, shutters, upright=False)
    trim = smooth(_STONE)
    return [
        *_recess(opening, 0.24, smooth(_WHITE), window(panes)),
        *_box((x0 - 0.1, -0.16, z0 - 0.1), (x1 + 0.1, 0, z0), trim, sides="flrtb"),
        *_box((x0 - 0.12, -0.07, z1), (x1 + 0.12, 0, z1 + 0.14), trim, sides="flrtb"),
        *_box((x0 - leaf - 0.02, -0.05, z0 + 0.01), (x0 - 0.02, 0, z1 - 0.01), board),
        *_box((x1 + 0.02, -0.05, z0 + 0.01), (x1 + leaf + 0.02, 0, z1 - 0.01), board),
    ]


def _entrance() -> list[Thing]:
    step = smooth((0.66, 0.64, 0.60), roughness=0.10)
    trim = smooth(_STONE)
    board = sign("CAFE  X-FEAT", 0.34, (240, 226, 190), (112, 32, 30))
    canopy_front = with_decals(smooth((0.55, 0.17, 0.15)), [(0.45, 0.02, board.shape[1] / PIXELS_PER_METRE, board)])
    column = masonry(SANDSTONE, (0.42, 0.5), 0.006, _STONE, spread=0.05)
    things = [
        *_recess(_DOOR, 0.42, trim, planks(0.19, _GREEN)),
        *_box((-1.9, -1.35, 0), (1.9, 0, 0.15), step),
        *_box((-1.6, -1.05, 0.15), (1.6, 0, 0.30), step),
        *_box((-1.3, -0.75, 0.30), (1.3, 0, 0.45), step),
        *_box((-1.35, -0.80, 2.52), (1.35, 0, 2.9), trim, front=canopy_front, sides="flrtb"),
    ]
    for x in (-1.05, 1.05):
        things += _box((x - 0.2, -0.66, 0.45), (x + 0.2, -0.26, 0.57), trim)
        things += [Thing(Cylinder(np.array([x, -0.46, 0.57]), 0.14, 1.83), column)]
        things += _box((x - 0.2, -0.66, 2.40), (x + 0.2, -0.26, 2.52), trim, sides="flrb")
    return things


def _furniture(seed: int) -> list[Thing]:
    return [*_advertising_column(seed), *_crates(seed), *_barrels(), *_balls(), *_bench(), *_planters()]


def _advertising_column(seed: int) -> list[Thing]:
    x, y, radius = 3.15, -2.55, 0.46
    bills = [
        (0.13 + 0.72 * number, 0.10 + 0.08 * (number % 3), 0.64, poster((seed, 20 + number), 0.64, 0.92))
        for number in range(4)
    ] + [(0.10 + 0.71 * number, 1.14, 0.6, poster((seed, 30 + number), 0.6, 0.72)) for number in range(4)]
    mantle = with_decals(smooth((0.62, 0.66, 0.60)), bills)
    return [
        Thing(Cylinder(np.array([x, y, 0.0]), 0.54, 0.22), smooth((0.50, 0.50, 0.48))),
        Thing(_disc(x, y, 0.22, 0.54), smooth((0.50, 0.50, 0.48))),
        Thing(Cylinder(np.array([x, y, 0.22]), radius, 2.0), mantle, 1.3),
        Thing(Cylinder(np.array([x, y, 2.22]), 0.54, 0.12), planks(0.1, _GREEN)),
        Thing(_disc(x, y, 2.34, 0.54), smooth((0.40, 0.45, 0.42))),
        Thing(Sphere(np.array([x, y, 2.42]), 0.14), rock((0.62, 0.60, 0.55))),
    ]


def _disc(x: float, y: float, z: float, radius: float) -> Patch:
    corner = np.array([x - radius, y + radius, z])
    return Patch(corner, np.array([2 * radius, 0, 0]), np.array([0, -2 * radius, 0]), round=True)


def _crates(seed: int) -> list[Thing]:
    stencil = sign("FRAGILE", 0.16, (70, 34, 22), (182, 142, 92))
    plain, marked = planks(0.12), with_decals(planks(0.13, upright=False), [(0.12, 0.2, 0.42, stencil)])
    bill = with_decals(planks(0.15), [(0.06, 0.06, 0.36, poster((seed, 40), 0.36, 0.42))])
    return [
        *_box((-4.75, -1.95, 0), (-3.95, -1.2, 0.72), plain, front=marked),
        *_box((-3.88, -1.75, 0), (-3.3, -1.2, 0.55), planks(0.1, upright=False), front=bill),
        *_box((-4.6, -1.85, 0.72), (-4.1, -1.35, 1.2), planks(0.09), front=bill),
    ]


def _barrels() -> list[Thing]:
    staves = planks(0.11, TIMBER)
    things: list[Thing] = []
    for x, y, radius, height in ((5.55, -1.3, 0.36, 0.95), (4.75, -0.75, 0.33, 0.9), (6.3, -2.3, 0.38, 0.95)):
        things += [
            Thing(Cylinder(np.array([x, y, 0.0]), radius, height), staves),
            Thing(_disc(x, y, height, radius), planks(0.12, TIMBER)),
        ]
        for z in (0.16, height - 0.22):
            hoop = Cylinder(np.array([x, y, z]), radius + 0.012, 0.06)
            things.append(Thing(hoop, smooth((0.32, 0.31, 0.31), roughness=0.14)))
    return things


def _balls() -> list[Thing]:
    beach: Material = spotted(((0.90, 0.88, 0.80), (0.76, 0.22, 0.18), (0.16, 0.34, 0.55), (0.93, 0.70, 0.20)), 46)
    mosaic: Material = spotted(((0.16, 0.32, 0.45), (0.92, 0.90, 0.84), (0.90, 0.60, 0.22), (0.10, 0.10, 0.13)), 90)
    things = [
        Thing(Sphere(np.array([-2.1, -2.9, 0.55]), 0.55), mosaic, 1.3),
        Thing(Sphere(np.array([-0.95, -3.35, 0.27]), 0.27), beach, 1.5),
        Thing(Sphere(np.array([0.35, -2.65, 0.19]), 0.19), rock((0.66, 0.60, 0.50)), 1.5),
    ]
    for x in (-1.75, 1.75):
        things += _box((x - 0.22, -1.75, 0), (x + 0.22, -1.4, 0.5), masonry(GRANITE, (0.44, 0.25), 0.008, _STONE))
        things.append(Thing(Sphere(np.array([x, -1.575, 0.69]), 0.2), rock((0.74, 0.70, 0.62))))
    return things


def _bench() -> list[Thing]:
    wood, iron = planks(0.08, upright=False), smooth((0.30, 0.31, 0.33))
    things = _box((-6.75, -4.6, 0.42), (-6.25, -2.7, 0.49), planks(0.1), sides="frtb")
    for y in (-4.45, -2.95):
        things += _box((-6.7, y, 0), (-6.3, y + 0.1, 0.42), iron, sides="flr")
    return things + _box((-6.86, -4.6, 0.6), (-6.78, -2.7, 0.98), wood, sides="frt")


def _planters() -> list[Thing]:
    clay = masonry(TERRACOTTA, (0.22, 0.12), 0.01, (0.7, 0.62, 0.52))
    earth = masonry(
        ((0.22, 0.30, 0.14), (0.30, 0.38, 0.16), (0.16, 0.22, 0.10)), (0.06, 0.05), 0.02, (0.2, 0.15, 0.1), 0.3
    )
    things: list[Thing] = []
    for x0, x1, y0, y1 in ((1.05, 2.05, -4.15, -3.75), (-5.9, -5.2, -5.4, -4.7)):
        rim = 0.06
        things += _box((x0, y0, 0), (x1, y1, 0.46), clay, sides="flr")
        things += _box((x0, y0, 0.46), (x1, y1, 0.5), smooth(_STONE), sides="flrt")
        things.append(
            Thing(_patch((x0 + rim, y1 - rim, 0.502), (x1 - x0 - 2 * rim, 0, 0), (0, y0 - y1 + 2 * rim, 0)), earth)
        )
    return things
