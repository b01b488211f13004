"""The losses of the keypoint head: what a keypoint is, and that both views place it alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.synthesis.geometry import to_grid

_RADIUS = 2
"""As the decoding: a keypoint is the largest of the 5×5 pixels around it, placed at their centroid."""

_LEAST = 0.03
"""Least probability of the peaks that the losses look at."""

_PEAKS = 300
"""Most peaks of an image."""

_NEAR_PX = 3.0
"""Keypoints up to this far from each other are drawn together: a bias of a pixel and a half, seen in a mirror."""


def target_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return divergence of the head's probabilities in each cell from the target's; logits, probabilities (B, 65, h,
    w).
    """
    likelihood = torch.log_softmax(logits.float(), 1)
    return F.kl_div(likelihood, target, reduction="none").sum(1).mean()


def localisation_loss(heat0: Tensor, heat1: Tensor, to0: Tensor, visible: Tensor) -> Tensor:
    """Return mean distance in px from keypoints of image 1, where image 0 shows them, to image 0's nearest within
    reach.

    heat0, heat1: (B, H, W), averaged over the grids of cells as extraction averages them.
    """
    index0, real0 = _peaks(heat0.detach(), torch.ones_like(visible))
    index1, real1 = _peaks(heat1.detach(), visible)
    points0, points1 = _centroids(heat0, index0), _centroids(heat1, index1)
    expected = _follow(to0, points1)
    distance = torch.cdist(expected.detach(), points0.detach()).masked_fill(~real0[:, None], torch.inf)
    nearest, partner = distance.min(2)
    near = real1 & (nearest < _NEAR_PX)
    there = points0.gather(1, partner[..., None].expand(-1, -1, 2))
    apart = (there - expected).square().sum(-1).add(1e-3).sqrt()
    return (apart * near).sum() / near.sum().clamp_min(1)


def _peaks(heat: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return flat pixel indices (B, K) of the highest allowed peaks, and which of the K are real."""
    side = 2 * _RADIUS + 1
    along_x = F.max_pool2d(heat[:, None], (1, side), 1, (0, _RADIUS))
    is_peak = heat == F.max_pool2d(along_x, (side, 1), 1, (_RADIUS, 0))[:, 0]
    margin = torch.zeros_like(allowed)
    margin[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS] = True
    scores = torch.where(is_peak & allowed & margin & (heat > _LEAST), heat, 0).flatten(1)
    best = scores.topk(min(_PEAKS, scores.shape[1]), 1)
    return best.indices, best.values > 0


def _centroids(heat: Tensor, index: Tensor) -> Tensor:
    """Return centroids (B, K, 2) of the heatmap around peaks."""
    height, width = heat.shape[-2:]
    reach = torch.arange(-_RADIUS, _RADIUS + 1, device=heat.device)
    dy, dx = (axis.flatten() for axis in torch.meshgrid(reach, reach, indexing="ij"))
    x, y = index % width, index // width
    around = (y[..., None] + dy).clamp(0, height - 1) * width + (x[..., None] + dx).clamp(0, width - 1)
    values = heat.flatten(1).gather(1, around.flatten(1)).view(around.shape)
    values = values / values.sum(-1, keepdim=True).clamp_min(1e-9)
    return torch.stack([x + (values * dx).sum(-1), y + (values * dy).sum(-1)], -1)


def _follow(to0: Tensor, points: Tensor) -> Tensor:
    """Return where points (B, K, 2) of image 1 lie in image 0: (B, K, 2)."""
    grid = to_grid(points, (to0.shape[1], to0.shape[2]))
    maps = to0.permute(0, 3, 1, 2)
    return F.grid_sample(maps, grid[:, None], padding_mode="border", align_corners=False)[:, :, 0].mT
