"""The keypoint heatmap: from logits of cells, and averaged over several placements of the grid of cells.

The keypoint head sees one cell of 8×8 pixels at a time, so whether and where it sees a keypoint near a cell's edge
depends on where the grid happens to lie. Averaged over shifted grids, that goes away.

The four grids are shifted by half a cell. A cell of any of them is thus 2×2 blocks of 4×4 pixels, and the head's first
layer, a 1×1 convolution of cells, is a 2×2 convolution of blocks: with stride 1 it sees the cells of all four grids.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from xfeat_cli.model.network import CELL, BasicLayer
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import library

GRIDS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((0, 0), (4, 4)),
    4: ((0, 0), (4, 0), (0, 4), (4, 4)),
}
"""Number of grids → the pixel (x, y) where each grid's first cell begins."""

BLOCK = CELL // 2
"""Side of the blocks that cells of all four grids are made of."""


def from_logits(logits: Tensor) -> Tensor:
    """Map (B, 65, h, w) logits → (B, 8h, 8w) probabilities of a keypoint at each pixel."""
    batch, _, rows, columns = logits.shape
    probability = torch.softmax(logits.permute(0, 2, 3, 1).float(), -1)[..., :-1]
    cells = probability.reshape(batch, rows, columns, CELL, CELL).transpose(2, 3)
    return cells.reshape(batch, rows * CELL, columns * CELL)


def averaged(first: Tensor, keypoint_logits: Callable[[Tensor], Tensor], image: Tensor, grids: int) -> Tensor:
    """Return mean heatmap (B, H, W) over a number of GRIDS; near an edge, over those whose cell there is whole.

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


def head_of_blocks(head: nn.Sequential) -> nn.Sequential:
    """Return a folded keypoint head → the same of all four grids' cells at once; the head keeps its own layers.

    It takes blocks (B, 16, H/4, W/4), the pixels of each row by row, and gives logits (B, 65, H/4 − 1, W/4 − 1): of the
    cell that begins at each block its upper left, upper right, lower left and lower right block, then the dustbin.
    """
    first, *middle, last = head
    assert isinstance(first, BasicLayer)
    by_block = torch.arange(CELL * CELL).view(2, BLOCK, 2, BLOCK).transpose(1, 2).flatten()
    layer = BasicLayer(BLOCK * BLOCK, CELL * CELL)
    cells = _convolution(first.layer[0])
    weight = cells.weight[..., by_block, :, :].reshape(-1, 2, 2, BLOCK * BLOCK).permute(0, 3, 1, 2)
    layer.layer = nn.Sequential(_with(weight, cells.bias), nn.ReLU(inplace=True))
    order = torch.cat([by_block, torch.tensor([CELL * CELL])])
    logits = _convolution(last)
    assert logits.bias is not None
    return nn.Sequential(layer, *middle, _with(logits.weight[order], logits.bias[order]))


def layers_of_blocks(head: nn.Sequential) -> list[tuple[native.Floats, native.Floats]]:
    """Return weights and biases of a `head_of_blocks`, as `native.keypoint_heatmap` wants them."""
    layers = []
    for module in head:
        layer = _convolution(module.layer[0] if isinstance(module, BasicLayer) else module)
        assert layer.bias is not None
        # Of the first, 2×2 blocks of 16 pixels: block by block.
        weight = layer.weight.permute(0, 2, 3, 1).flatten(1)
        layers.append((weight.float().contiguous().numpy(), layer.bias.float().numpy()))
    return layers


def _convolution(layer: nn.Module) -> nn.Conv2d:
    assert isinstance(layer, nn.Conv2d)
    return layer


def _with(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    outputs, inputs, *kernel = weight.shape
    layer = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]))
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    layer.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return layer


def in_one_pass(image: Tensor, layers: list[tuple[native.Floats, native.Floats]], bf16: bool) -> Tensor | None:
    """Map prepared images (B, 1, H, W) → mean heatmap (B, H, W) of the four grids by the native library; None without
    it.

    layers: of `layers_of_blocks`. bf16: products in bfloat16, of all layers but the last.
    """
    loaded = library() if image.device.type == "cpu" else None
    if loaded is None or not (loaded.multiplies_bf16 if bf16 else loaded.multiplies_fast):
        return None
    heats = [native.keypoint_heatmap(loaded, one, layers, bf16=bf16) for one in image[:, 0].float().numpy()]
    return torch.from_numpy(np.stack(heats))


def from_block_logits(logits: Tensor) -> Tensor:
    """Return what a `head_of_blocks` gives → mean heatmap (B, H, W) of the four grids, as `averaged`."""
    batch, _, rows, columns = logits.shape
    probability = torch.softmax(logits.permute(0, 2, 3, 1).float(), -1)
    blocks = probability.new_zeros(batch, rows + 1, columns + 1, BLOCK * BLOCK)
    blocks[:, :-1, :-1] += probability[..., :16]
    blocks[:, :-1, 1:] += probability[..., 16:32]
    blocks[:, 1:, :-1] += probability[..., 32:48]
    blocks[:, 1:, 1:] += probability[..., 48:64]
    # Inside, a block lies in a cell of each grid; at an edge in those of two, in a corner of one.
    blocks[:, 1:-1] *= 0.5
    blocks[:, :, 1:-1] *= 0.5
    pixels = blocks.view(batch, rows + 1, columns + 1, BLOCK, BLOCK).transpose(2, 3)
    return pixels.reshape(batch, (rows + 1) * BLOCK, (columns + 1) * BLOCK)
