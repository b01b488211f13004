"""Many pictures on one: a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from xfeat_cli.view.drawing import GREY, INK, PAPER, shortened, write
from xfeat_cli.view.photograph import Picture

CELL_WIDTH, CELL_HEIGHT = 300, 225
_LABEL, _GAP = 40, 10


def contact_sheet(cells: Sequence[tuple[Picture, str, str]], columns: int | None = None) -> Picture:
    """cells: picture, name, a line about it. About 4:3 in all unless `columns` says otherwise."""
    columns = columns or max(1, min(len(cells), round((len(cells) * 1.3) ** 0.5)))
    rows = -(-len(cells) // columns)
    step_x, step_y = CELL_WIDTH + _GAP, CELL_HEIGHT + _LABEL + _GAP
    sheet = np.full((rows * step_y + _GAP, columns * step_x + _GAP, 3), PAPER, np.uint8)
    for number, (picture, name, about) in enumerate(cells):
        x, y = number % columns * step_x + _GAP, number // columns * step_y + _GAP
        _place(sheet, picture, x, y)
        write(sheet, shortened(name, CELL_WIDTH, 14), x, y + CELL_HEIGHT + 3, 14, INK)
        write(sheet, shortened(about, CELL_WIDTH, 13), x, y + CELL_HEIGHT + 20, 13, GREY)
    return sheet


def _place(sheet: Picture, picture: Picture, x: int, y: int) -> None:
    scale = min(CELL_WIDTH / picture.shape[1], CELL_HEIGHT / picture.shape[0])
    width, height = max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale))
    left, top = x + (CELL_WIDTH - width) // 2, y + (CELL_HEIGHT - height) // 2
    sheet[y : y + CELL_HEIGHT, x : x + CELL_WIDTH] = (232, 232, 234)
    sheet[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
