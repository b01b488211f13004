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

SUPPRESSION_RADIUS = 2
"""A keypoint is the largest of the 5×5 pixels around it; its position is their centroid."""

SEMI_DENSE_SCALES = ((0.6, 0.2), (1.3, 0.8))
"""(image scale, share of the features) of the two passes of XFeat*."""


@dataclass(frozen=True)
class Decoded:
    """Features of one image on the device. points (N, 2), scores (N,) descending, descriptors (N, 64), scales (N,)."""

    points: Tensor
    scores: Tensor
    descriptors: Tensor
    scales: Tensor | None = None


def prepare(gray: Tensor) -> Tensor:
    """(B, H, W) gray → (B, 1, H', W') of zero mean and unit variance, padded to multiples of 32 by its edge.

    The statistics are taken before padding, so that they are the image's own.
    """
    image = gray[:, None].float()
    mean = image.mean((2, 3), keepdim=True)
    variance = image.var((2, 3), keepdim=True, correction=0)
    image = (image - mean) * torch.rsqrt(variance + 1e-5)
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")


def sparse(
    heads: tuple[Tensor, Tensor, Tensor],
    size: tuple[int, int],
    top_k: int,
    threshold: float,
    mask: np.ndarray | None = None,
) -> list[Decoded]:
    """Decode a batch. size: (H, W) before padding. mask: (B, H, W) bool, False = no keypoint here."""
    features, logits, reliability = heads
    heatmap = _heatmap(logits, size)
    allowed = None if mask is None else torch.from_numpy(mask).to(heatmap.device)
    find = _find_peaks_cpu if heatmap.device.type == "cpu" else _find_peaks
    index, scores = find(heatmap, reliability.float(), top_k, threshold, allowed)

    points, first_of_equals = _locate(heatmap, index)
    descriptors = _sample_descriptors(F.normalize(features.float(), dim=1), points)
    keep = (scores > 0) & first_of_equals
    return [Decoded(p[k], s[k], d[k]) for p, s, d, k in zip(points, scores, descriptors, keep, strict=True)]


def semi_dense_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The (H, W) of the two scaled images of a semi-dense pass over an image of (H, W)."""
    return [(max(1, round(size[0] * scale)), max(1, round(size[1] * scale))) for scale, _ in SEMI_DENSE_SCALES]


def scaled(gray: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H, W) gray at another (H, W)."""
    return F.interpolate(gray[:, None], size, mode="bilinear", antialias=True)[:, 0]


def semi_dense(
    heads: Sequence[tuple[Tensor, ...]],
    size: tuple[int, int],
    top_k: int,
    reference: float,
    mask: np.ndarray | None = None,
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
    result = []
    for b in range(len(passes[0].scores)):
        chosen = [one.best(b, count) for one, count in zip(passes, counts, strict=True)]
        points, scores, descriptors, scales = (torch.cat(part) for part in zip(*chosen, strict=True))
        order = torch.argsort(scores, descending=True, stable=True)
        order = order[scores[order] > 0]
        result.append(Decoded(points[order], scores[order], descriptors[order], scales[order]))
    return result


def _heatmap(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 65, h, w) logits → (B, H, W) probabilities, cropped to the image."""
    batch, _, rows, columns = logits.shape
    probability = torch.softmax(logits.permute(0, 2, 3, 1).float(), -1)[..., :-1]
    cells = probability.reshape(batch, rows, columns, CELL, CELL).transpose(2, 3)
    return cells.reshape(batch, rows * CELL, columns * CELL)[:, : size[0], : size[1]].contiguous()


def _find_peaks_cpu(
    heatmap: Tensor, reliability: Tensor, top_k: int, threshold: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `_find_peaks`, with OpenCV's dilation, touching the full-size map only in cheap passes."""
    side = 2 * SUPPRESSION_RADIUS + 1
    kernel = np.ones((side, side), np.uint8)
    width = heatmap.shape[-1]
    least = float(np.nextafter(np.float32(threshold), np.float32(np.inf)))
    found = []
    for i, (heat, reliable) in enumerate(zip(heatmap.numpy(), reliability[:, 0].numpy(), strict=True)):
        largest_around = cv2.dilate(heat, kernel)
        is_peak = heat >= np.maximum(largest_around, least, out=largest_around)
        index = np.flatnonzero(is_peak if allowed is None else is_peak & allowed[i].numpy())
        scores = heat.ravel()[index] * _bilinear(reliable, index % width, index // width)
        best = _largest(scores, top_k)
        found.append((index[best], scores[best]))
    longest = max(len(index) for index, _ in found)
    indices = torch.zeros(len(found), longest, dtype=torch.long)
    all_scores = torch.zeros(len(found), longest)
    for row, (index, scores) in enumerate(found):
        indices[row, : len(index)] = torch.from_numpy(index)
        all_scores[row, : len(index)] = torch.from_numpy(scores)
    return indices, all_scores


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Where the largest of (N,) scores are, at most `count`, descending; equal ones in their order."""
    among = np.arange(len(scores))
    if count < len(scores):
        among = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return among[np.argsort(-scores[among], kind="stable")[:count]]


def _bilinear(cells: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a map of cells (h, w) at integer pixels, edges clamped."""
    height, width = cells.shape
    u = np.clip(pixel_to_cell(x.astype(np.float32), CELL), 0, width - 1)
    v = np.clip(pixel_to_cell(y.astype(np.float32), CELL), 0, height - 1)
    left, top = u.astype(np.int64), v.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    du, dv = u - left, v - top
    upper = cells[top, left] * (1 - du) + cells[top, right] * du
    lower = cells[bottom, left] * (1 - du) + cells[bottom, right] * du
    return upper * (1 - dv) + lower * dv


def _find_peaks(
    heatmap: Tensor, reliability: Tensor, top_k: int, threshold: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The best local maxima of each map, best first, a fixed number of them, without waiting for the device.

    heatmap (B, H, W), reliability (B, 1, h, w), allowed (B, H, W) bool: peaks elsewhere do not count. Returns flat
    pixel index (B, K) and score (B, K), 0 where there are fewer. Equal scores are ordered by index.
    """
    side = 2 * SUPPRESSION_RADIUS + 1
    height, width = heatmap.shape[-2:]
    cells = reliability.shape[-2:]
    dense = F.interpolate(reliability, (cells[0] * CELL, cells[1] * CELL), mode="bilinear")[:, 0, :height, :width]
    is_peak = heatmap == F.max_pool2d(heatmap[:, None], side, stride=1, padding=SUPPRESSION_RADIUS)[:, 0]
    if allowed is not None:
        is_peak = is_peak & allowed
    scores = torch.where(is_peak & (heatmap > threshold), heatmap * dense, 0).flatten(1)
    # Positive floats order like their bits, so score and position fit one integer key without ties.
    position = torch.arange(scores.shape[1], device=scores.device)
    keys = (scores.view(torch.int32).long() << 32) | (0xFFFFFFFF - position)
    index = 0xFFFFFFFF - (keys.topk(min(top_k, keys.shape[1])).values & 0xFFFFFFFF)
    return index, scores.gather(1, index)


def _locate(heatmap: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel position (B, K, 2) of the peaks, and whether a peak is the first of equal neighbours (B, K).

    The position is the centroid of the heatmap around the peak. At the image's edge only those neighbours count whose
    mirror image lies inside too, so that the edge does not pull.
    """
    height, width = heatmap.shape[-2:]
    reach = torch.arange(-SUPPRESSION_RADIUS, SUPPRESSION_RADIUS + 1, device=heatmap.device)
    dy, dx = (d.flatten() for d in torch.meshgrid(reach, reach, indexing="ij"))
    x, y = (index % width)[..., None], (index // width)[..., None]
    room_x, room_y = torch.minimum(x, width - 1 - x), torch.minimum(y, height - 1 - y)
    inside = (dx.abs() <= room_x) & (dy.abs() <= room_y)
    around = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
    values = heatmap.flatten(1).gather(1, around.flatten(1)).view(around.shape)
    earlier_equal = (values == values[..., len(dx) // 2, None]) & (around < index[..., None])
    weights = values * inside
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    points = torch.stack([x[..., 0] + (weights * dx).sum(-1), y[..., 0] + (weights * dy).sum(-1)], -1)
    return points, ~earlier_equal.any(-1)


def _sample_descriptors(features: Tensor, points: Tensor) -> Tensor:
    """Bicubic values of (B, D, h, w) maps at pixel positions (B, K, 2), edges clamped, normalised: (B, K, D)."""
    batch, dim, height, width = features.shape
    column, weight_x = _cubic_taps(pixel_to_cell(points[..., 0], CELL), width)
    row, weight_y = _cubic_taps(pixel_to_cell(points[..., 1], CELL), height)
    image = torch.arange(batch, device=features.device)[:, None, None, None]
    taps = (image * height + row[..., :, None]) * width + column[..., None, :]
    weights = weight_y[..., :, None] * weight_x[..., None, :]
    table = features.permute(0, 2, 3, 1).reshape(-1, dim)
    sampled = F.embedding_bag(
        taps.flatten(0, 1).flatten(1), table, per_sample_weights=weights.flatten(0, 1).flatten(1), mode="sum"
    )
    return F.normalize(sampled, dim=-1).view(batch, -1, dim)


def _cubic_taps(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The four neighbours of positions (...) on an axis and their weights (..., 4): cubic convolution, a = −0.75."""
    a = -0.75
    base = position.floor()
    t = (position - base)[..., None]
    distance = torch.cat([t + 1, t, 1 - t, 2 - t], -1)
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    offset = torch.arange(-1, 3, device=position.device)
    index = (base.long()[..., None] + offset).clamp(0, size - 1)
    return index, torch.where(distance <= 1, near, far)


@dataclass(frozen=True)
class _Cells:
    """The cells of one pass whose first pixel lies in the image, row by row; features may hold more rows and columns.

    x (columns,), y (rows,): positions in the image. scores (B, rows × columns), 0 = masked. features (B, D, h, w).
    """

    x: Tensor
    y: Tensor
    scores: Tensor
    features: Tensor
    scale: float

    def best(self, image: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points, scores, descriptors, scales of the best cells of an image; equal ones in their order."""
        scores, index = torch.sort(self.scores[image], descending=True, stable=True)
        scores, index = scores[:count], index[:count]
        row, column = index // len(self.x), index % len(self.x)
        width = self.features.shape[-1]
        descriptors = self.features[image].permute(1, 2, 0).flatten(0, 1)[row * width + column].float()
        points = torch.stack([self.x[column], self.y[row]], 1)
        return points, scores, descriptors, torch.full_like(scores, self.scale)


def _cells(
    features: Tensor,
    reliability: Tensor,
    scaled_size: tuple[int, int],
    size: tuple[int, int],
    reference: float,
    mask: np.ndarray | None,
) -> _Cells:
    rows, columns = (-(-side // CELL) for side in scaled_size)
    device = features.device
    stretch_y, stretch_x = size[0] / scaled_size[0], size[1] / scaled_size[1]
    x = rescale(torch.arange(columns, device=device) * float(CELL) + reference, stretch_x)
    y = rescale(torch.arange(rows, device=device) * float(CELL) + reference, stretch_y)
    scores = reliability[:, 0, :rows, :columns].flatten(1).float()
    if mask is not None:
        px = x.round().long().clamp_max(size[1] - 1).cpu().numpy()
        py = y.round().long().clamp_max(size[0] - 1).cpu().numpy()
        scores = scores * torch.from_numpy(mask[:, py[:, None], px[None, :]].reshape(len(mask), -1)).to(device)
    return _Cells(x, y, scores, features, (stretch_x + stretch_y) / 2)


def _split(available: list[int], top_k: int) -> list[int]:
    """How many cells each pass gives: its share, and what the other pass cannot fill."""
    total = min(top_k, sum(available))
    first = min(available[0], max(1, round(SEMI_DENSE_SCALES[0][1] * total)))
    second = min(available[1], total - first)
    return [min(available[0], total - second), second]
