"""Every half-pixel rule of the project.

Points are (x, y) with (0, 0) at the centre of the top-left pixel, so an image of width W spans −0.5 … W − 0.5.
The functions are plain arithmetic and take numpy arrays or torch tensors alike.
"""

from __future__ import annotations

from typing import Any

Axis = Any
"""Coordinates along one axis: a float, a numpy array or a torch tensor."""


def rescale(position: Axis, scale: Any) -> Axis:
    """Where a coordinate (one axis) lies after resizing by `scale` (new size / old size)."""
    return (position + 0.5) * scale - 0.5


def cell_to_pixel(index: Axis, cell: int) -> Axis:
    """The centre of cell number `index` along one axis, for cells of `cell` pixels."""
    return rescale(index, cell)


def pixel_to_cell(position: Axis, cell: int) -> Axis:
    """A pixel coordinate (one axis) in units of cells, integers at the cells' centres."""
    return rescale(position, 1 / cell)


def pixel_to_grid(position: Axis, size: int) -> Axis:
    """A pixel coordinate (one axis of `size` pixels) as grid_sample wants it with align_corners=False."""
    return (position + 0.5) * (2 / size) - 1


def to_colmap(position: Axis) -> Axis:
    """COLMAP puts the origin at the top-left pixel's corner. Apply exactly once."""
    return position + 0.5


def from_colmap(position: Axis) -> Axis:
    """The inverse of `to_colmap`."""
    return position - 0.5
