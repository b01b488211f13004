"""The keypoint heatmap: from logits of cells, and averaged over several placements of the grid of cells.

The keypoint head sees one cell of 8×8 pixels at a time, so whether and where it sees a keypoint near a cell's edge
depends on where the grid happens to lie. Averaged over shifted grids, that goes away.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model.network import CELL

GRIDS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((0, 0), (4, 4)),
    4: ((0, 0), (4, 0), (0, 4), (4, 4)),
}
"""Number of grids → how far each is shifted, (x, y) px."""


def from_logits(logits: Tensor) -> Tensor:
    """(B, 65, h, w) logits → (B, 8h, 8w) probabilities of a keypoint at each pixel."""
    batch, _, rows, columns = logits.shape
    probability = torch.softmax(logits.permute(0, 2, 3, 1).float(), -1)[..., :-1]
    cells = probability.reshape(batch, rows, columns, CELL, CELL).transpose(2, 3)
    return cells.reshape(batch, rows * CELL, columns * CELL)


def averaged(first: Tensor, keypoint_logits: Callable[[Tensor], Tensor], image: Tensor, grids: int) -> Tensor:
    """Mean heatmap (B, H, W) over a number of GRIDS.

    first: the heatmap of the unshifted grid. keypoint_logits: prepared images (B, 1, ·, ·) → logits (B, 65, ·, ·).
    image: (B, 1, H, W) prepared.
    """
    if grids == 1:
        return first
    height, width = image.shape[-2:]
    total = first.clone()
    for x, y in GRIDS[grids][1:]:
        shifted = F.pad(image, (x, -x % CELL, y, -y % CELL), mode="replicate")
        total += from_logits(keypoint_logits(shifted))[:, y : y + height, x : x + width]
    return total.mul_(1 / grids)
