"""Which images were matched with which, as a square of cells."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.view.drawing import INK, PAPER, captioned, coloured, colour_bar, shortened, write
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
    shown = np.log1p(cells) / max(np.log1p(cells.max(initial=0)), 1e-9)
    colours = coloured(0.12 + 0.88 * shown, cv2.COLORMAP_VIRIDIS)
    colours[cells == 0] = (236, 236, 238)
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
    low = int(weights.min()) if len(weights) else 0
    return np.concatenate([picture, colour_bar(picture.shape[1], f"{what}: {low:,}", f"{int(cells.max(initial=0)):,}")])


def binned(
    count: int, images: npt.NDArray[np.int64], weights: npt.NDArray[np.int64] | None, largest: int
) -> tuple[npt.NDArray[np.float64], int]:
    """The symmetric matrix of pairs in at most largest × largest cells, and how many images a cell stands for."""
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
