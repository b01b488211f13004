"""Every half-pixel rule of the project.

Points are (x, y) with (0, 0) at the centre of the top-left pixel, so an image of width W spans −0.5 … W − 0.5.
The functions are plain arithmetic and take numpy arrays or torch tensors alike.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def rescale(position: T, scale: float) -> T:
    """Where a coordinate (one axis) lies after resizing by `scale` (new size / old size)."""
    return (position + 0.5) * scale - 0.5  # type: ignore[operator]


def cell_to_pixel(index: T, cell: int) -> T:
    """The centre of cell number `index` along one axis, for cells of `cell` pixels."""
    return rescale(index, cell)


def pixel_to_cell(position: T, cell: int) -> T:
    """A pixel coordinate (one axis) in units of cells, integers at the cells' centres."""
    return rescale(position, 1 / cell)


def pixel_to_grid(position: T, size: int) -> T:
    """A pixel coordinate (one axis of `size` pixels) as grid_sample wants it with align_corners=False."""
    return (position + 0.5) * (2 / size) - 1  # type: ignore[operator]


def to_colmap(position: T) -> T:
    """COLMAP puts the origin at the top-left pixel's corner. Apply exactly once."""
    return position + 0.5  # type: ignore[operator]


def from_colmap(position: T) -> T:
    """The inverse of `to_colmap`."""
    return position - 0.5  # type: ignore[operator]
