"""Mutual nearest neighbours, both directions from one product computed in blocks.

Two descriptors are mutual nearest neighbours if their cosine is the largest of its row and of its column, so the
arg-max of the rows and the maximum of the columns say it all. Where cosines tie for a row's largest, the row takes the
first column (on a GPU: one of them); of rows that take the same column, the first has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.machine.threads import single_threaded_pool
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import library
from xfeat_cli.types import Matches

_TILE_ROWS, _TILE_COLUMNS = 256, 2048
"""The tile of the similarity matrix that a CPU holds at once: narrower and the product slows down, larger and it
leaves the cache before it is searched."""

_BLOCK_BYTES = 64 << 20
"""The part of the similarity matrices that a GPU holds at once."""


def normalised(descriptors: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Map descriptors (N, D) of any norm and float type → unit norm, as `nearest_of_pairs` wants them.

    dtype: of the product; bfloat16 rounds cosines to three digits.
    """
    return F.normalize(descriptors.float(), dim=1).to(dtype)


@torch.inference_mode()
def mutual_nearest(
    descriptors0: Tensor,
    descriptors1: Tensor,
    min_cossim: float = -1.0,
    ratio: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Matches:
    """Return pairs that are each other's most similar descriptor.

    descriptors0 (N0, D), descriptors1 (N1, D): any norm (they are normalised here), any float type.
    min_cossim: least cosine. ratio: most that the nearest's distance may be of the second nearest's, for descriptors
    of image 0; 1 = no test. dtype: as `normalised`. Scores are cosines.
    """
    return nearest_of_pairs([(normalised(descriptors0, dtype), normalised(descriptors1, dtype))], min_cossim, ratio)[0]


def nearest_of_pairs(pairs: Sequence[tuple[Tensor, Tensor]], min_cossim: float, ratio: float) -> list[Matches]:
    """Behave as `mutual_nearest`, for pairs of normalised descriptors (N0, D), (N1, D) on one device.

    On a GPU, neighbours in the list whose shapes are equal run together. On a CPU as many pairs run at once as torch
    has threads, each on one of them.
    """
    if pairs and pairs[0][0].device.type != "cpu":
        return _nearest_in_batches(pairs, min_cossim, ratio)
    threads = min(torch.get_num_threads(), len(pairs))
    if threads <= 1:
        return [_nearest_on_cpu(d0, d1, min_cossim, ratio) for d0, d1 in pairs]
    with single_threaded_pool(threads) as pool:
        return list(pool.map(lambda pair: _nearest_on_cpu(pair[0], pair[1], min_cossim, ratio), pairs))


@torch.inference_mode()
def _nearest_on_cpu(d0: Tensor, d1: Tensor, min_cossim: float, ratio: float) -> Matches:
    if 0 in (len(d0), len(d1)):
        return _none()
    loaded = library() if d0.dtype is torch.float32 else None
    if loaded is not None and loaded.multiplies_fast:
        return _kept(*native.match(loaded, d0.numpy(), d1.numpy(), min_cossim, ratio))
    return _matches(*_search_on_cpu(d0, d1, ratio), min_cossim, ratio)[0]


@torch.inference_mode()
def _nearest_in_batches(pairs: Sequence[tuple[Tensor, Tensor]], min_cossim: float, ratio: float) -> list[Matches]:
    found: list[Matches] = []
    for shapes, group in groupby(pairs, lambda pair: (pair[0].shape, pair[1].shape)):
        d0, d1 = (torch.stack(side) for side in zip(*group, strict=True))
        if 0 in (shapes[0][0], shapes[1][0]):
            found += [_none()] * len(d0)
        else:
            found += _matches(*_search_batch(d0, d1, ratio), min_cossim, ratio)
    return found


def _none() -> Matches:
    return Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))


def _matches(
    best: Tensor, index: Tensor, second: Tensor, column_best: Tensor, min_cossim: float, ratio: float
) -> list[Matches]:
    """Return what a search found → matches.

    best, index, second: (B, N0), each row's largest cosine, its column, the second largest; column_best: (B, N1).
    """
    keep = (best >= column_best.gather(1, index)) & (best >= min_cossim)
    if ratio < 1:
        keep &= _passes(best, second, ratio)
    count = best.shape[1]
    rows = torch.arange(count, device=best.device).expand_as(index)
    # The first of several rows with the same column has it.
    first = torch.full_like(column_best, count, dtype=torch.long)
    first.scatter_reduce_(1, index, torch.where(keep, rows, count), "amin")
    keep &= first.gather(1, index) == rows
    return [_kept(*pair) for pair in zip(*_to_host(torch.where(keep, index, -1), best), strict=True)]


def _to_host(columns: Tensor, scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return both (B, N), in one transfer, whose size the matches do not decide: a GPU is waited for once."""
    packed = torch.stack([columns.int(), scores.view(torch.int32)]).cpu()
    return packed[0].numpy(), packed[1].view(torch.float32).numpy()


def _kept(columns: np.ndarray, scores: np.ndarray) -> Matches:
    """Return columns (N,): each row's match or −1; scores (N,)."""
    rows = np.flatnonzero(columns >= 0)
    return Matches(np.stack([rows.astype(np.int32), columns[rows]], 1), scores[rows])


def _search_batch(d0: Tensor, d1: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Map pairs of (B, N0, D) and (B, N1, D) → as `_matches` takes it. `second` is only right if ratio < 1."""
    batch, columns, _ = d1.shape
    rows = max(1, _BLOCK_BYTES // (batch * columns * d1.element_size()))
    best, index, second = [], [], []
    column_best = d1.new_full((batch, columns), -torch.inf)
    for block in torch.split(d0, rows, 1):
        similarity = block @ d1.mT
        column_best = torch.maximum(column_best, similarity.amax(1))
        block_best, block_index = similarity.max(2)
        best.append(block_best)
        index.append(block_index)
        if ratio < 1:
            second.append(similarity.scatter_(2, block_index[..., None], -torch.inf).amax(2))
    return torch.cat(best, 1).float(), torch.cat(index, 1), torch.cat(second or best, 1).float(), column_best.float()


def _search_on_cpu(d0: Tensor, d1: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Behave as `_search_batch`, for one pair of (N0, D) and (N1, D): in tiles, and numpy's argmax is ten times
    torch's.
    """
    count, columns = len(d0), len(d1)
    tile = torch.empty(min(count, _TILE_ROWS) * min(columns, _TILE_COLUMNS), dtype=d0.dtype)
    best, second = torch.full((count,), -torch.inf), torch.full((count,), -torch.inf)
    index = torch.zeros(count, dtype=torch.long)
    column_best = torch.full((columns,), -torch.inf)
    for top in range(0, count, _TILE_ROWS):
        rows = slice(top, min(top + _TILE_ROWS, count))
        for left in range(0, columns, _TILE_COLUMNS):
            across = slice(left, min(left + _TILE_COLUMNS, columns))
            product = tile[: (rows.stop - top) * (across.stop - left)].view(rows.stop - top, -1)
            similarity = torch.mm(d0[rows], d1[across].T, out=product).float()
            torch.maximum(column_best[across], similarity.amax(0), out=column_best[across])
            tile_index = torch.from_numpy(similarity.numpy().argmax(1))[:, None]
            tile_best = similarity.gather(1, tile_index)[:, 0]
            if ratio < 1:
                runner_up = similarity.scatter_(1, tile_index, -torch.inf).amax(1)
                runner_up = torch.maximum(runner_up, torch.minimum(best[rows], tile_best))
                torch.maximum(second[rows], runner_up, out=second[rows])
            # Not where equal: the first column has it.
            index[rows] = torch.where(tile_best > best[rows], tile_index[:, 0] + left, index[rows])
            torch.maximum(best[rows], tile_best, out=best[rows])
    return best[None], index[None], second[None], column_best[None]


def _passes(best: Tensor, second: Tensor, ratio: float) -> Tensor:
    """Return whether the distance to the nearest is at most `ratio` of that to the second nearest, from their
    cosines.
    """
    nearest, second_nearest = ((2 - 2 * cosine).clamp_min(0).sqrt() for cosine in (best, second))
    return nearest <= ratio * second_nearest
