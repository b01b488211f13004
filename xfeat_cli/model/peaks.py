"""Heatmap → keypoints: local maxima, the best of them, and where they lie between pixels.

Two ways to the same result: in torch for any device, a batch at a time, without waiting for the device; and for the
CPU, with OpenCV's dilation and partial selection, touching the full-size map only in a few cheap passes.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xfeat_cli.coordinates import pixel_to_cell
from xfeat_cli.model.network import CELL
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import library

SUPPRESSION_RADIUS = 2
"""A keypoint is the largest of the 5×5 pixels around it; its position is their centroid."""

_SIDE = 2 * SUPPRESSION_RADIUS + 1
_KERNEL = np.ones((_SIDE, _SIDE), np.uint8)
_DY, _DX = (d.ravel() for d in np.mgrid[:_SIDE, :_SIDE] - SUPPRESSION_RADIUS)
_STEPS = np.column_stack([_DX, _DY]).astype(np.float32)
_CENTRE = len(_DX) // 2

Array = npt.NDArray


def find_peaks(
    heatmap: Tensor, reliability: Tensor, top_k: int, threshold: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best local maxima of each map above the threshold, best first, equal ones in the order of their
    pixels.

    heatmap (B, H, W), reliability (B, 1, h, w) by cell, allowed (B, H, W) bool: peaks elsewhere do not count. Returns
    sub-pixel positions (B, K, 2), scores (B, K) = heatmap × reliability, and which of them are keypoints (B, K): the
    others fill up, or are equal neighbours of an earlier one.
    """
    find = _peaks_on_cpu if heatmap.device.type == "cpu" else _peaks
    if find is _peaks or library() is None:
        heatmap = heatmap.contiguous()
    return find(heatmap, reliability, top_k, threshold, allowed)


def _peaks(
    heatmap: Tensor, reliability: Tensor, top_k: int, threshold: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    index, scores = _find(heatmap, reliability, top_k, threshold, allowed)
    points, first_of_equals = locate(heatmap, index)
    return points, scores, (scores > 0) & first_of_equals


def _peaks_on_cpu(
    heatmap: Tensor, reliability: Tensor, top_k: int, threshold: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    found = []
    loaded = library()
    for i, (heat, reliable) in enumerate(zip(heatmap.numpy(), reliability[:, 0].numpy(), strict=True)):
        mask = None if allowed is None else allowed[i].numpy()
        if loaded is not None:
            places, best = native.peaks(loaded, heat, reliable, top_k, threshold, mask)
            found.append((places, best, np.ones(len(best), bool)))
            continue
        index, best = _find_on_cpu(heat, reliable, top_k, threshold, mask)
        places, first_of_equals = _locate_on_cpu(heat, index)
        found.append((places, best, first_of_equals & (best > 0)))
    columns = zip(*([torch.from_numpy(part) for part in parts] for parts in found), strict=True)
    points, scores, is_keypoint = (pad_sequence(list(column), batch_first=True) for column in columns)
    return points, scores, is_keypoint


def largest(scores: Array, count: int) -> Array:
    """Return where the largest of (N,) scores are, at most `count`, descending; equal ones in their order."""
    among = np.arange(len(scores))
    if count < len(scores):
        among = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return among[np.argsort(-scores[among], kind="stable")[:count]]


def _find_on_cpu(
    heat: Array, reliable: Array, top_k: int, threshold: float, allowed: Array | None
) -> tuple[Array, Array]:
    """Return the flat pixel indices of an image's best peaks, best first, and their scores."""
    width = heat.shape[1]
    is_peak = (heat >= cv2.dilate(heat, _KERNEL)) & (heat > np.float32(threshold))
    index = np.flatnonzero(is_peak if allowed is None else is_peak & allowed)
    y, x = np.divmod(index, width)
    scores = heat.ravel()[index] * _bilinear(reliable, x, y)
    best = largest(scores, top_k)
    return index[best], scores[best]


def _locate_on_cpu(heat: Array, index: Array) -> tuple[Array, Array]:
    """Behave as `locate`, for one image: positions (K, 2), and whether a peak is the first of equal neighbours (K,)."""
    height, width = heat.shape
    y, x = np.divmod(index, width)
    # A peak is a column, so that sums over its neighbours run along rows. What lies outside is seen to below.
    values = heat.ravel().take(index + (_DY * width + _DX)[:, None], mode="clip")
    first = ~(values[:_CENTRE] == values[_CENTRE]).any(0)
    total = np.maximum(values.sum(0), np.float32(1e-12))
    points = np.stack([x, y]).astype(np.float32) + np.einsum("kn,kj->jn", values, _STEPS) / total
    room = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    at_edge = np.flatnonzero(room < SUPPRESSION_RADIUS)
    if len(at_edge):
        places, first_there = locate(torch.from_numpy(heat)[None], torch.from_numpy(index[at_edge])[None])
        points[:, at_edge], first[at_edge] = places[0].numpy().T, first_there[0].numpy()
    return points.T, first


def _bilinear(cells: Array, x: Array, y: Array) -> Array:
    """Return values of a map of cells (h, w) at integer pixels, edges clamped."""
    height, width = cells.shape
    u = np.clip(pixel_to_cell(x.astype(np.float32), CELL), 0, width - 1)
    v = np.clip(pixel_to_cell(y.astype(np.float32), CELL), 0, height - 1)
    left, top = u.astype(np.int32), v.astype(np.int32)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    du, dv = u - left.astype(np.float32), v - top.astype(np.float32)
    upper = cells[top, left] * (1 - du) + cells[top, right] * du
    lower = cells[bottom, left] * (1 - du) + cells[bottom, right] * du
    return upper * (1 - dv) + lower * dv


def _find(
    heatmap: Tensor, reliability: Tensor, top_k: int, threshold: float, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return flat pixel index (B, K) and score (B, K) of the best peaks, always as many; score 0 where there
    are fewer.
    """
    height, width = heatmap.shape[-2:]
    cells = reliability.shape[-2:]
    dense = F.interpolate(reliability, (cells[0] * CELL, cells[1] * CELL), mode="bilinear")[:, 0, :height, :width]
    is_peak = heatmap == F.max_pool2d(heatmap[:, None], _SIDE, stride=1, padding=SUPPRESSION_RADIUS)[:, 0]
    if allowed is not None:
        is_peak = is_peak & allowed
    scores = torch.where(is_peak & (heatmap > threshold), heatmap * dense, 0).flatten(1)
    index = best_first(scores, top_k)
    return index, scores.gather(1, index)


def best_first(scores: Tensor, count: int) -> Tensor:
    """Return indices (B, K) of the largest of (B, N) scores ≥ 0, at most `count`, descending; equal ones in their
    order.
    """
    # Floats from 0 on order like their bits, so score and position fit one integer key without ties.
    position = torch.arange(scores.shape[1], device=scores.device)
    keys = (scores.view(torch.int32).long() << 32) | (0xFFFFFFFF - position)
    return 0xFFFFFFFF - (keys.topk(min(count, keys.shape[1])).values & 0xFFFFFFFF)


def locate(heatmap: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return sub-pixel position (B, K, 2) of the peaks, and whether a peak is the first of equal neighbours (B, K).

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
    earlier_equal = (values == values[..., _CENTRE, None]) & (around < index[..., None])
    weights = values * inside
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    points = torch.stack([x[..., 0] + (weights * dx).sum(-1), y[..., 0] + (weights * dy).sum(-1)], -1)
    return points, ~earlier_equal.any(-1)
