"""Which images were matched with which, as a square of cells."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.view.drawing import INK, PAPER, captioned, colour_bar, coloured, shortened, write
from xfeat_cli.view.photograph import Picture

_LARGEST = 1000
_LABELLED = 40
_LABEL_WIDTH = 170


def matrix_picture(
    names: Sequence[str], images: npt.NDArray[np.int64], weights: npt.NDArray[np.int64] | None, what: str
) -> Picture:
    """images: (P, 2) rows of `names`. weights: (P,) such as verified matches; None: each pair counts 1.

    Above 1,000 images a cell stands for a block of them, and shows the sum.
    """
    cells, block = binned(len(names), images, weights, _LARGEST)
    filled = cells > 0
    low, high = (float(cells[filled].min()), float(cells.max())) if filled.any() else (0.0, 0.0)
    shown = np.log(np.maximum(cells, 1) / max(low, 1)) / max(np.log(max(high, 1) / max(low, 1)), 1e-9)
    colours = coloured(shown if high > low else np.full(cells.shape, 0.6), cv2.COLORMAP_VIRIDIS)
    colours[~filled] = (236, 236, 238)
    colours[np.arange(len(cells)), np.arange(len(cells))] = (205, 205, 210)
    side = max(1, 900 // max(len(cells), 1))
    picture = np.kron(colours, np.ones((side, side, 1), np.uint8)).astype(np.uint8)
    if side >= 8:
        picture[::side], picture[:, ::side] = PAPER, PAPER
    if len(names) <= _LABELLED:
        picture = _labelled(picture, names, side)
    about = f"{len(images):,} pairs" + (f"; a cell is {block} images" if block > 1 else "")
    picture = captioned(picture, f"{len(names):,} images", about)
    if weights is None:
        return picture
    bar = colour_bar(picture.shape[1], f"{what}: {low:,.0f}", f"{high:,.0f} (logarithmic)")
    return np.concatenate([picture, bar])


def binned(
    count: int, images: npt.NDArray[np.int64], weights: npt.NDArray[np.int64] | None, largest: int
) -> tuple[npt.NDArray[np.float64], int]:
    """Return the symmetric matrix of pairs in at most largest × largest cells, and how many images a cell
    stands for.
    """
    block = max(1, -(-count // largest))
    side = max(1, -(-count // block))
    cells = np.zeros((side, side))
    values = np.ones(len(images)) if weights is None else weights.astype(np.float64)
    rows, columns = images[:, 0] // block, images[:, 1] // block
    np.add.at(cells, (rows, columns), values)
    off_diagonal = rows != columns
    np.add.at(cells, (columns[off_diagonal], rows[off_diagonal]), values[off_diagonal])
    return cells, block


def _labelled(picture: Picture, names: Sequence[str], side: int) -> Picture:
    canvas = np.full((picture.shape[0], picture.shape[1] + _LABEL_WIDTH, 3), PAPER, np.uint8)
    canvas[:, _LABEL_WIDTH:] = picture
    size = min(15, max(9, side - 4))
    for row, name in enumerate(names):
        text = shortened(name, _LABEL_WIDTH - 12, size)
        write(canvas, text, 6, row * side + max(0, (side - size) // 2 - 1), size, INK)
    return canvas
