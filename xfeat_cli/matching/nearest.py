"""Mutual nearest neighbours, both directions from one product computed in blocks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.types import Matches

_BLOCK_ROWS = 128
"""Rows of the similarity matrix that a CPU holds at once: a block stays in its cache."""


@torch.inference_mode()
def mutual_nearest(
    descriptors0: Tensor,
    descriptors1: Tensor,
    min_cossim: float = -1.0,
    ratio: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Matches:
    """Pairs that are each other's most similar descriptor.

    descriptors0 (N0, D), descriptors1 (N1, D): any norm (they are normalised here), any float type.
    min_cossim: least cosine. ratio: most that the nearest's distance may be of the second nearest's, for descriptors
    of image 0; 1 = no test. dtype: of the product; bfloat16 rounds cosines to three digits. Scores are
    cosines.
    """
    if len(descriptors0) == 0 or len(descriptors1) == 0:
        return Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))
    d0 = F.normalize(descriptors0.float(), dim=1).to(dtype)
    d1 = F.normalize(descriptors1.float(), dim=1).to(dtype).T.contiguous()
    best, index, column_best, passed = _best_of_rows(d0, d1, ratio)

    keep = (best >= column_best[index]) & (best >= min_cossim) & passed
    first = keep.nonzero()[:, 0]
    indices = torch.stack([first, index[first]], 1).int().cpu().numpy()
    scores = best[first].cpu().numpy()
    # Equal descriptors give equal cosines, and several rows the same partner: the first row has it.
    _, once = np.unique(indices[:, 1], return_index=True)
    once.sort()
    return Matches(indices[once], scores[once])


def _best_of_rows(d0: Tensor, d1: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per row of d0 @ d1: largest value, its column, whether the ratio test passes; per column: largest value."""
    if d0.device.type == "cpu":
        return _best_of_rows_cpu(d0, d1, ratio)
    similarity = (d0 @ d1).float()
    if ratio < 1 and d1.shape[1] > 1:
        two = similarity.topk(2, dim=1)
        best, second = two.values.unbind(1)
        return best, two.indices[:, 0], similarity.amax(0), _passes(best, second, ratio)
    best, index = similarity.max(1)
    return best, index, similarity.amax(0), torch.ones_like(index, dtype=torch.bool)


def _best_of_rows_cpu(d0: Tensor, d1: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `_best_of_rows`, in blocks of rows that overwrite each other; numpy's argmax is ten times torch's."""
    count, columns = len(d0), d1.shape[1]
    product = torch.empty(min(_BLOCK_ROWS, count), columns, dtype=d0.dtype)
    similarity = product if product.dtype == torch.float32 else torch.empty_like(product, dtype=torch.float32)
    best, second = torch.empty(count), torch.full((count,), -torch.inf)
    index = torch.empty(count, dtype=torch.long)
    column_best = torch.full((columns,), -torch.inf)
    for start in range(0, count, _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, count))
        size = rows.stop - start
        torch.mm(d0[rows], d1, out=product[:size])
        if similarity is not product:
            similarity[:size].copy_(product[:size])
        torch.maximum(column_best, similarity[:size].amax(0), out=column_best)
        block = similarity[:size].numpy()
        columns_of_best = block.argmax(1)
        at_best = (np.arange(size), columns_of_best)
        index[rows] = torch.from_numpy(columns_of_best)
        best[rows] = torch.from_numpy(block[at_best])
        if ratio < 1 and columns > 1:
            block[at_best] = -np.inf
            second[rows] = torch.from_numpy(block.max(1))
    return best, index, column_best, _passes(best, second, ratio) if ratio < 1 else torch.ones(count, dtype=torch.bool)


def _passes(best: Tensor, second: Tensor, ratio: float) -> Tensor:
    """Whether the distance to the nearest is at most `ratio` of that to the second nearest, from their cosines."""
    nearest, second_nearest = ((2 - 2 * cosine).clamp_min(0).sqrt() for cosine in (best, second))
    return nearest <= ratio * second_nearest
