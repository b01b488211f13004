"""Every half-pixel rule of the project, and every turn of an image.

Points are (x, y) with (0, 0) at the centre of the top-left pixel, so an image of width W spans −0.5 … W − 0.5.
The functions are plain arithmetic and take numpy arrays or torch tensors alike.

An orientation is an EXIF number, 1 to 8: how the stored image is turned, and mirrored, to be seen upright. 1 = as it
is, 2 = mirrored left to right, 3 = turned by 180°, 4 = mirrored top to bottom, 5 = transposed, 6 = turned by 90°
clockwise, 7 = transposed along the other diagonal, 8 = turned by 90° counterclockwise.
"""

from __future__ import annotations

from typing import Any, TypeGuard

Axis = Any
"""Coordinates along one axis: a float, a numpy array or a torch tensor."""


def rescale(position: Axis, scale: Any) -> Axis:
    """Return where a coordinate (one axis) lies after resizing by `scale` (new size / old size)."""
    return (position + 0.5) * scale - 0.5


def cell_to_pixel(index: Axis, cell: int) -> Axis:
    """Return the centre of cell number `index` along one axis, for cells of `cell` pixels."""
    return rescale(index, cell)


def pixel_to_cell(position: Axis, cell: int) -> Axis:
    """Return a pixel coordinate (one axis) in units of cells, integers at the cells' centres."""
    return rescale(position, 1 / cell)


def pixel_to_grid(position: Axis, size: int) -> Axis:
    """Return a pixel coordinate (one axis of `size` pixels) as grid_sample wants it with align_corners=False."""
    return (position + 0.5) * (2 / size) - 1


def to_colmap(position: Axis) -> Axis:
    """COLMAP puts the origin at the top-left pixel's corner. Apply exactly once."""
    return position + 0.5


def from_colmap(position: Axis) -> Axis:
    """Return the inverse of `to_colmap`."""
    return position - 0.5


AS_STORED = 1
"""The orientation of an image that is stored upright."""

_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""Orientation → from stored to upright: whether the axes swap first, then whether x and whether y run backwards."""


def is_orientation(number: object) -> TypeGuard[int]:
    """Return whether a value is one of the eight orientations."""
    return isinstance(number, int) and number in _ORIENTATIONS


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return (width, height) of the upright image; of the stored one, given the upright size, just as well."""
    return size[::-1] if _ORIENTATIONS[orientation][0] else size


def to_upright(x: Axis, y: Axis, size: tuple[int, int], orientation: int) -> tuple[Axis, Axis]:
    """Return where a point of the stored image lies in the upright one. size: (width, height) of the stored image."""
    swapped, backwards_x, backwards_y = _ORIENTATIONS[orientation]
    width, height = upright_size(size, orientation)
    x, y = (y, x) if swapped else (x, y)
    return (width - 1 - x) if backwards_x else x, (height - 1 - y) if backwards_y else y


def from_upright(x: Axis, y: Axis, size: tuple[int, int], orientation: int) -> tuple[Axis, Axis]:
    """Return the inverse of `to_upright`. size: (width, height) of the stored image, here too."""
    swapped, backwards_x, backwards_y = _ORIENTATIONS[orientation]
    width, height = upright_size(size, orientation)
    x, y = (width - 1 - x) if backwards_x else x, (height - 1 - y) if backwards_y else y
    return (y, x) if swapped else (x, y)


def offset_from_upright(x: Axis, y: Axis, orientation: int) -> tuple[Axis, Axis]:
    """Return the step in the stored image that is a step (x, y) in the upright one."""
    swapped, backwards_x, backwards_y = _ORIENTATIONS[orientation]
    x, y = -x if backwards_x else x, -y if backwards_y else y
    return (y, x) if swapped else (x, y)


def upright_pixels(pixels: Any, orientation: int) -> Any:
    """Return a numpy image (H, W, …), as it is stored, turned upright. A view."""
    swapped, backwards_x, backwards_y = _ORIENTATIONS[orientation]
    pixels = pixels.swapaxes(0, 1) if swapped else pixels
    return pixels[:: -1 if backwards_y else 1, :: -1 if backwards_x else 1]


def stored_pixels(pixels: Any, orientation: int) -> Any:
    """Return the inverse of `upright_pixels`. A view."""
    swapped, backwards_x, backwards_y = _ORIENTATIONS[orientation]
    pixels = pixels[:: -1 if backwards_y else 1, :: -1 if backwards_x else 1]
    return pixels.swapaxes(0, 1) if swapped else pixels


def turned(orientation: int, quarters: int) -> int:
    """Return the orientation that first does what `orientation` says and then turns clockwise by quarters."""
    swapped, backwards_x, backwards_y = _ORIENTATIONS[orientation]
    for _ in range(quarters % 4):
        swapped, backwards_x, backwards_y = not swapped, not backwards_y, backwards_x
    return next(number for number, axes in _ORIENTATIONS.items() if axes == (swapped, backwards_x, backwards_y))
