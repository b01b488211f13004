"""Heads of the network → keypoints, scores and descriptors, for batches of images of one size.

Everything is in pixels of the image that the network saw, before its padding to multiples of 32. Source: Potje et al.,
CVPR 2024, with the faults of the authors' decoding mended: keypoints are sub-pixel (centroid of the heatmap), all
sampling follows `coordinates.py`, borders lose nothing, equal neighbours yield one keypoint, and ties are ordered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.coordinates import pixel_to_cell, rescale
from xfeat_cli.model.network import CELL, STRIDE
from xfeat_cli.model.peaks import best_first, find_peaks
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import library

SEMI_DENSE_SCALES = ((0.6, 0.2), (1.3, 0.8))
"""(image scale, share of the features) of the two passes of XFeat*."""

_STATISTICS_ROWS = 1024


@dataclass(frozen=True)
class Decoded:
    """Features of one image, on the CPU. points (N, 2), scores (N,) descending, descriptors (N, 64), scales (N,)."""

    points: Tensor
    scores: Tensor
    descriptors: Tensor
    scales: Tensor | None = None


def prepare(gray: Tensor, statistics: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Map (B, H, W) gray → (B, 1, H', W') of zero mean and unit variance, padded to multiples of 32 by its edge.

    statistics: mean and scale, (B, 1, 1) each, of the images that these are parts of; None = these are whole images.
    They are taken before padding, so that they are the image's own.
    """
    batch, height, width = gray.shape
    if statistics is None:
        mean = gray.mean((1, 2), keepdim=True, dtype=torch.float32)
        centred = gray.float() - mean
        scale = _scale(torch.linalg.vector_norm(centred, dim=(1, 2), keepdim=True).square(), height * width)
    else:
        mean, scale = statistics
        centred = gray.float() - mean
    padded = centred.new_empty(batch, 1, height + -height % STRIDE, width + -width % STRIDE)
    image = padded[..., :height, :width]
    torch.mul(centred[:, None], scale[:, None], out=image)
    padded[..., height:, :width] = image[..., -1:, :]
    padded[..., width:] = padded[..., width - 1 : width]
    return padded


def statistics_of(gray: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and scale, (B, 1, 1) each, of (B, H, W) gray as `prepare` takes them, in little memory."""
    mean = gray.mean((1, 2), keepdim=True, dtype=torch.float32)
    squares = torch.zeros_like(mean)
    for top in range(0, gray.shape[1], _STATISTICS_ROWS):
        centred = gray[:, top : top + _STATISTICS_ROWS].float() - mean
        squares += torch.linalg.vector_norm(centred, dim=(1, 2), keepdim=True).square()
    return mean, _scale(squares, gray.shape[1] * gray.shape[2])


def _scale(squares: Tensor, count: int) -> Tensor:
    return torch.rsqrt(squares / count + 1e-5)


def sparse(
    heads: tuple[Tensor, Tensor, Tensor],
    size: tuple[int, int],
    top_k: int,
    threshold: float,
    mask: Tensor | None = None,
) -> list[Decoded]:
    """Decode a batch. heads: descriptors, heatmap (B, ·, ·), reliability, as `Runtime.sparse_heads` gives them.

    size: (H, W) before padding. mask: (B, H, W) bool on the heads' device, False = no keypoint here.
    """
    features, heatmap, reliability = heads
    points, scores, is_keypoint = find_peaks(
        heatmap[:, : size[0], : size[1]], reliability.float(), top_k, threshold, mask
    )
    descriptors = _sample_descriptors(features, points)
    return _kept(is_keypoint, points, scores, descriptors)


def semi_dense_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the (H, W) of the two scaled images of a semi-dense pass over an image of (H, W)."""
    return [(max(1, round(size[0] * scale)), max(1, round(size[1] * scale))) for scale, _ in SEMI_DENSE_SCALES]


def scaled(gray: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, H, W) gray at another (H, W), bilinear, averaged where it gets smaller."""
    if gray.device.type == "cpu" and size > gray.shape[1:]:
        return torch.from_numpy(
            np.stack([cv2.resize(g, size[::-1], interpolation=cv2.INTER_LINEAR) for g in gray.numpy()])
        )
    return F.interpolate(gray[:, None], size, mode="bilinear", antialias=True)[:, 0]


def semi_dense(
    heads: Sequence[tuple[Tensor, ...]],
    size: tuple[int, int],
    top_k: int,
    reference: float,
    mask: Tensor | None = None,
) -> list[Decoded]:
    """Decode a batch from the heads of its two scaled images. size: (H, W) of the image before scaling.

    heads: descriptors first and reliability last, as `Runtime.cells` or `Runtime.heads` gives them.
    A feature is a cell; its position is the point that the refiner's labels refer to, `reference` px from the cell's
    first pixel along each axis.
    Descriptors are raw. scales: image pixels per pixel of the scaled image.
    """
    passes = [
        _cells(features, reliability, scaled_size, size, reference, mask)
        for (features, *_, reliability), scaled_size in zip(heads, semi_dense_sizes(size), strict=True)
    ]
    counts = _split([one.scores.shape[1] for one in passes], top_k)
    chosen = [one.best(count) for one, count in zip(passes, counts, strict=True)]
    points, scores, descriptors, scales = (torch.cat(parts, 1) for parts in zip(*chosen, strict=True))
    order = torch.argsort(scores, descending=True, stable=True)
    scores = scores.gather(1, order)
    return _kept(scores > 0, _rows(points, order), scores, _rows(descriptors, order), scales.gather(1, order))


def _kept(
    keep: Tensor, points: Tensor, scores: Tensor, descriptors: Tensor, scales: Tensor | None = None
) -> list[Decoded]:
    """Return the features (B, K, …) of each image for which `keep` (B, K), brought to the CPU in one transfer."""
    if keep.device.type != "cpu":
        return _unpacked(_packed(keep, points, scores, descriptors, scales).cpu(), scales is not None)
    result = []
    for i, kept in enumerate(keep):
        parts = [points[i], scores[i], descriptors[i]] + ([] if scales is None else [scales[i]])
        result.append(Decoded(*(parts if kept.all() else [part[kept] for part in parts])))
    return result


def _packed(keep: Tensor, points: Tensor, scores: Tensor, descriptors: Tensor, scales: Tensor | None) -> Tensor:
    columns = [keep[..., None], points, scores[..., None]] + ([] if scales is None else [scales[..., None]])
    return torch.cat([column.float() for column in [*columns, descriptors]], -1)


def _unpacked(packed: Tensor, with_scales: bool) -> list[Decoded]:
    keep, x, y, scores, *rest = packed.unbind(-1)
    scales = rest[0] if with_scales else None
    return _kept(keep.bool(), torch.stack([x, y], -1), scores, packed[..., 4 + with_scales :], scales)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Return rows (B, K) of (B, N, D) values."""
    batch, count, dim = values.shape
    index = index + torch.arange(batch, device=index.device)[:, None] * count
    return values.reshape(-1, dim).index_select(0, index.flatten()).view(batch, -1, dim)


def _sample_descriptors(features: Tensor, points: Tensor) -> Tensor:
    """Return bicubic values of the normalised (B, D, h, w) maps at pixels (B, K, 2), edges clamped, normalised: (B, K,
    D).
    """
    loaded = library() if features.device.type == "cpu" else None
    if loaded is not None and features.shape[1] == native.CHANNELS:
        maps = features.permute(0, 2, 3, 1).float().numpy()
        return torch.from_numpy(
            np.stack([native.describe(loaded, *one) for one in zip(maps, points.numpy(), strict=True)])
        )
    batch, dim, height, width = features.shape
    last = torch.stack([points.new_full((), width - 1), points.new_full((), height - 1)])
    index, weights = _cubic_taps(pixel_to_cell(points, CELL), last)
    image = torch.arange(batch, device=features.device)[:, None, None, None]
    taps = (image * height + index[..., 1, :, None]) * width + index[..., 0, None, :]
    weight = weights[..., 1, :, None] * weights[..., 0, None, :]
    table = features.permute(0, 2, 3, 1).reshape(-1, dim).float()
    norm = torch.linalg.vector_norm(table, dim=1).clamp_min(1e-12)
    taps = taps.flatten(0, 1).flatten(1)
    weight = weight.view_as(taps) / norm.index_select(0, taps.flatten()).view_as(taps)
    sampled = F.embedding_bag(taps, table, per_sample_weights=weight, mode="sum")
    return F.normalize(sampled, dim=-1).view(batch, -1, dim)


def _cubic_taps(position: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return the four neighbours of positions (..., 2) along each axis and their weights (..., 2, 4).

    Cubic convolution, a = −0.75. last (2,): the last index of each axis, to which neighbours beyond it are clamped.
    """
    a = -0.75
    base = position.floor()
    t = position - base
    far, near, after = t + 1, t, 1 - t
    first = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    second = ((a + 2) * near - (a + 3)) * near * near + 1
    third = ((a + 2) * after - (a + 3)) * after * after + 1
    weights = torch.stack([first, second, third, 1 - first - second - third], -1)
    neighbours = base[..., None] + torch.arange(-1, 3, device=position.device)
    return torch.minimum(neighbours.clamp_min(0), last[:, None]).long(), weights


@dataclass(frozen=True)
class _Cells:
    """The cells of one pass whose reference point lies in the image, row by row; features may hold more of them.

    x (columns,), y (rows,): positions in the image. scores (B, rows × columns), 0 = masked. features (B, D, h, w).
    """

    x: Tensor
    y: Tensor
    scores: Tensor
    features: Tensor
    scale: float

    def best(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return points (B, K, 2), scores, descriptors (B, K, D), scales of the best cells; equal ones in their
        order.
        """
        index = best_first(self.scores, count)
        scores = self.scores.gather(1, index)
        row, column = index // len(self.x), index % len(self.x)
        descriptors = _rows(self.features.permute(0, 2, 3, 1).flatten(1, 2), row * self.features.shape[-1] + column)
        points = torch.stack([self.x[column], self.y[row]], -1)
        return points, scores, descriptors.float(), torch.full_like(scores, self.scale)


def _cells(
    features: Tensor,
    reliability: Tensor,
    scaled_size: tuple[int, int],
    size: tuple[int, int],
    reference: float,
    mask: Tensor | None,
) -> _Cells:
    rows, columns = (max(0, int((side - 0.5 - reference) // CELL) + 1) for side in scaled_size)
    stretch_y, stretch_x = size[0] / scaled_size[0], size[1] / scaled_size[1]
    device = reliability.device
    x = rescale(torch.arange(columns, device=device) * float(CELL) + reference, stretch_x)
    y = rescale(torch.arange(rows, device=device) * float(CELL) + reference, stretch_y)
    scores = reliability[:, 0, :rows, :columns].flatten(1).float()
    if mask is not None:
        px, py = x.round().long().clamp_max(size[1] - 1), y.round().long().clamp_max(size[0] - 1)
        scores = scores * mask[:, py[:, None], px].flatten(1)
    return _Cells(x, y, scores, features, (stretch_x + stretch_y) / 2)


def _split(available: list[int], top_k: int) -> list[int]:
    """Return how many cells each pass gives: its share, and what the other pass cannot fill."""
    total = min(top_k, sum(available))
    first = min(available[0], max(1, round(SEMI_DENSE_SCALES[0][1] * total)))
    second = min(available[1], total - first)
    return [min(available[0], total - second), second]
