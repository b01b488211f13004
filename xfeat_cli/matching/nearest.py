"""Mutual nearest neighbours, both directions from one product computed in blocks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.types import Matches

_BLOCK_ROWS = {"cpu": 256}
"""Rows of the similarity matrix held at once; on a CPU a block stays in cache."""


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
    rows = _BLOCK_ROWS.get(d0.device.type, len(d0))
    best, index, passed = [], [], []
    column_best = torch.full((d1.shape[1],), -torch.inf, device=d0.device)
    for block in torch.split(d0, rows):
        similarity = (block @ d1).float()
        column_best = torch.maximum(column_best, similarity.amax(0))
        if ratio < 1 and d1.shape[1] > 1:
            two = similarity.topk(2, dim=1)
            nearest, second = (2 - 2 * two.values).clamp_min(0).sqrt().unbind(1)
            best.append(two.values[:, 0])
            index.append(two.indices[:, 0])
            passed.append(nearest <= ratio * second)
        else:
            values, columns = similarity.max(1)
            best.append(values)
            index.append(columns)
            passed.append(torch.ones_like(columns, dtype=torch.bool))
    return torch.cat(best), torch.cat(index), column_best, torch.cat(passed)
