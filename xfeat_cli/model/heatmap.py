"""The keypoint heatmap: from logits of cells, and averaged over several placements of the grid of cells.

The keypoint head sees one cell of 8×8 pixels at a time, so whether and where it sees a keypoint near a cell's edge
depends on where the grid happens to lie. Averaged over shifted grids, that goes away.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xfeat_cli.model.network import CELL

GRIDS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((0, 0), (4, 4)),
    4: ((0, 0), (4, 0), (0, 4), (4, 4)),
}
"""Number of grids → the pixel (x, y) where each grid's first cell begins."""


def from_logits(logits: Tensor) -> Tensor:
    """(B, 65, h, w) logits → (B, 8h, 8w) probabilities of a keypoint at each pixel."""
    batch, _, rows, columns = logits.shape
    probability = torch.softmax(logits.permute(0, 2, 3, 1).float(), -1)[..., :-1]
    cells = probability.reshape(batch, rows, columns, CELL, CELL).transpose(2, 3)
    return cells.reshape(batch, rows * CELL, columns * CELL)


def averaged(first: Tensor, keypoint_logits: Callable[[Tensor], Tensor], image: Tensor, grids: int) -> Tensor:
    """Mean heatmap (B, H, W) over a number of GRIDS; near an edge, over those whose cell there is whole.

    first: the heatmap of the unshifted grid. keypoint_logits: prepared images (B, 1, ·, ·) → logits (B, 65, ·, ·).
    image: (B, 1, H, W) prepared.
    """
    if grids == 1:
        return first
    height, width = image.shape[-2:]
    total, count = first.clone(), first.new_ones(height, width)
    for x, y in GRIDS[grids][1:]:
        rows, columns = slice(y, y + (height - y) // CELL * CELL), slice(x, x + (width - x) // CELL * CELL)
        total[:, rows, columns] += from_logits(keypoint_logits(image[..., rows, columns]))
        count[rows, columns] += 1
    return total.div_(count)
