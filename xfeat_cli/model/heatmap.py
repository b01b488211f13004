"""The keypoint heatmap: from logits of cells, and averaged over several placements of the grid of cells.

The keypoint head sees one cell of 8×8 pixels at a time, so a keypoint near a cell's edge is found or missed, and
placed, by where the grid happens to lie. Averaged over shifted grids that goes away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model.network import CELL

Shifts = Sequence[tuple[int, int]]

FOUR_GRIDS: Shifts = ((0, 0), (4, 0), (0, 4), (4, 4))
EIGHT_GRIDS: Shifts = (*FOUR_GRIDS, (2, 2), (6, 2), (2, 6), (6, 6))
"""Shifts (x, y) in px of the grid of cells."""


def fold(logits: Tensor) -> Tensor:
    """(B, 65, h, w) logits → (B, 8h, 8w) probabilities."""
    return F.pixel_shuffle(torch.softmax(logits.float(), 1)[:, :-1], CELL)[:, 0]


def averaged(head: Callable[[Tensor], Tensor], image: Tensor, shifts: Shifts) -> Tensor:
    """Mean heatmap (B, H, W) over shifted grids. head: prepared images (B, 1, ·, ·) → logits (B, 65, ·, ·)."""
    height, width = image.shape[-2:]
    total = torch.zeros_like(image[:, 0], dtype=torch.float32)
    for x, y in shifts:
        shifted = F.pad(image, (x, -x % CELL, y, -y % CELL), mode="replicate")
        total += fold(head(shifted))[:, y : y + height, x : x + width]
    return total / len(shifts)
