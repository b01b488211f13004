"""Images too large for the network at once, seen in overlapping tiles that give what the whole image would.

Whatever is computed for a pixel depends on at most MARGIN pixels around it, and on the mean and variance of the whole
image, which all tiles share. Each tile keeps what lies in its core; the cores are the image, without overlap. Tiles
begin at multiples of 32, so that the cells of the network lie where they would in the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeat_cli.model.decode import Decoded, prepare, sparse, statistics_of
from xfeat_cli.model.network import CELL, STRIDE

MARGIN = 224
"""Pixels: the network sees 210 px around a point that it describes, and the search for peaks 4 more."""

LEAST_SIDE = 768


class SparseNetwork(Protocol):
    """What `Runtime` offers for sparse features."""

    def upload(self, arrays: list[np.ndarray]) -> Tensor: ...
    def sparse_heads(self, image: Tensor, grids: int) -> tuple[Tensor, Tensor, Tensor]: ...


class CellNetwork(Protocol):
    """What `Runtime` offers for semi-dense features."""

    def cells(self, image: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Span:
    """A tile along one axis: it sees [start, stop) and keeps [first, last), in pixels."""

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, side: int) -> list[Span]:
    """Return the tiles along an axis of `length` pixels, padded to a multiple of 32; each `side` long, rounded down to
    one.
    """
    length += -length % STRIDE
    side = max(side, LEAST_SIDE) // STRIDE * STRIDE
    if length <= side:
        return [Span(0, length, 0, length)]
    found: list[Span] = []
    start = first = 0
    while start + side < length:
        found.append(Span(start, start + side, first, start + side - MARGIN))
        first = start + side - MARGIN
        start += side - 2 * MARGIN
    return [*found, Span(length - side, length, first, length)]


def sparse_in_tiles(
    network: SparseNetwork,
    gray: npt.NDArray,
    side: int,
    grids: int,
    top_k: int,
    threshold: float,
    mask: npt.NDArray[np.bool_] | None = None,
) -> Decoded:
    """Return sparse features of one gray image (H, W), as of `decode.sparse`, but spread over the image.

    side: of a tile, px. mask: (H, W), False = no keypoint here. Where there are more than top_k features, each tile
    keeps its best, as many for every pixel of its core, and what a tile cannot fill goes to the others.
    """
    height, width = gray.shape
    mean, scale = statistics_of(torch.from_numpy(gray)[None])
    parts: list[Decoded] = []
    areas: list[int] = []
    for rows, columns in _grid(height, width, side):
        seen = np.s_[rows.start : min(rows.stop, height), columns.start : min(columns.stop, width)]
        tile = network.upload([gray[seen]])
        allowed = np.zeros(tile.shape[1:], bool)
        core = np.s_[
            rows.first - rows.start : rows.last - rows.start,
            columns.first - columns.start : columns.last - columns.start,
        ]
        allowed[core] = True if mask is None else mask[seen][core]
        heads = network.sparse_heads(prepare(tile, (mean.to(tile.device), scale.to(tile.device))), grids)
        (found,) = sparse(heads, (tile.shape[1], tile.shape[2]), top_k, threshold, network.upload([allowed]))
        offset = found.points.new_tensor([columns.start, rows.start])
        parts.append(Decoded(found.points + offset, found.scores, found.descriptors))
        areas.append((rows.last - rows.first) * (columns.last - columns.first))
    return _spread(parts, areas, top_k)


def cells_in_tiles(network: CellNetwork, gray: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return descriptors (1, 64, h, w) and reliability (1, 1, h, w) of the cells of one gray image (1, H, W)."""
    _, height, width = gray.shape
    statistics = statistics_of(gray)
    rows_found: list[list[tuple[Tensor, Tensor]]] = []
    last_row: Span | None = None
    for rows, columns in _grid(height, width, side):
        tile = gray[:, rows.start : rows.stop, columns.start : columns.stop]
        core = np.s_[
            ...,
            (rows.first - rows.start) // CELL : (rows.last - rows.start) // CELL,
            (columns.first - columns.start) // CELL : (columns.last - columns.start) // CELL,
        ]
        features, reliability = network.cells(prepare(tile, statistics))
        if rows is not last_row:
            rows_found.append([])
            last_row = rows
        rows_found[-1].append((features[core].clone(), reliability[core].clone()))
    lines = [[torch.cat(parts, -1) for parts in zip(*row, strict=True)] for row in rows_found]
    features, reliability = (torch.cat(parts, -2) for parts in zip(*lines, strict=True))
    return features, reliability


def _grid(height: int, width: int, side: int) -> Iterator[tuple[Span, Span]]:
    for rows in spans(height, side):
        for columns in spans(width, side):
            yield rows, columns


def _spread(parts: list[Decoded], areas: list[int], top_k: int) -> Decoded:
    """Return the best of all tiles, best first; equal ones in the order of the tiles."""
    counts = _shares([len(part.scores) for part in parts], areas, top_k)
    kept = [
        (part.points[:count], part.scores[:count], part.descriptors[:count])
        for part, count in zip(parts, counts, strict=True)
    ]
    points, scores, descriptors = (torch.cat(columns) for columns in zip(*kept, strict=True))
    order = torch.argsort(scores, descending=True, stable=True)
    return Decoded(points[order], scores[order], descriptors[order])


def _shares(available: list[int], areas: list[int], top_k: int) -> list[int]:
    """Return how many features each tile keeps: all of them, or as many for every pixel; top_k in all if there are as
    many.
    """
    if sum(available) <= top_k:
        return available
    counts = [0] * len(available)
    open_tiles = set(range(len(available)))
    while open_tiles:
        density = (top_k - sum(counts)) / sum(areas[i] for i in open_tiles)
        full = {i for i in open_tiles if available[i] <= density * areas[i]}
        if not full:
            break
        for i in full:
            counts[i] = available[i]
        open_tiles -= full
    exact = {i: (top_k - sum(counts)) * areas[i] / sum(areas[j] for j in open_tiles) for i in open_tiles}
    left = top_k - sum(counts) - sum(int(share) for share in exact.values())
    by_remainder = sorted(exact, key=lambda i: (int(exact[i]) - exact[i], i))
    for place, i in enumerate(by_remainder):
        counts[i] = int(exact[i]) + (place < left)
    return counts
