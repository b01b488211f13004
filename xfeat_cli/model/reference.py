"""The authors' decoding, reproduced faithfully, its faults included: for parity and as the benchmark's yardstick.

Source: the behaviour of github.com/verlab/accelerated_features at commit e92685f. The default decoding, which mends
the faults, is in `decode.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.errors import ImageError
from xfeat_cli.model.network import CELL, STRIDE
from xfeat_cli.types import Features, Matches, PointMatches

Network = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]

SEMI_DENSE_SCALES = ((0.6, 0.2), (1.3, 0.8))
"""(image scale, share of top_k) of the two passes of XFeat*."""


def normalise(image: Tensor) -> Tensor:
    """Map (B, 1, H, W) → zero mean and unit variance over each whole image."""
    return F.instance_norm(image, eps=1e-5)


def sparse(
    network: Network,
    gray: Tensor,
    stored_size: tuple[int, int],
    top_k: int,
    threshold: float,
) -> Features:
    """Return sparse features of one gray image (H, W), values in [0, 1], with the authors' arithmetic."""
    image = _to_multiple_of_stride(gray[None, None])
    height, width = image.shape[-2:]
    features, logits, reliability = network(normalise(image))
    features = F.normalize(features, dim=1)
    heatmap = F.pixel_shuffle(torch.softmax(logits, 1)[:, :-1], CELL)

    is_peak = (heatmap == F.max_pool2d(heatmap, 5, stride=1, padding=2)) & (heatmap > threshold)
    points = is_peak[0, 0].nonzero().flip(-1)
    scores = _sample(heatmap, points, "nearest") * _sample(reliability, points, "bilinear", height, width)
    scores = torch.where((points == 0).all(-1, keepdim=True), -1.0, scores)[:, 0]

    order = torch.argsort(-scores)[:top_k]
    points, scores = points[order], scores[order]
    descriptors = F.normalize(_sample(features, points, "bicubic", height, width), dim=-1)
    keep = scores > 0
    stretch = points.new_tensor([stored_size[0] / width, stored_size[1] / height], dtype=torch.float32)
    return _features((points * stretch)[keep], scores[keep], descriptors[keep], stored_size)


def semi_dense(network: Network, gray: Tensor, stored_size: tuple[int, int], top_k: int) -> Features:
    """Return semi-dense features (XFeat*) of one gray image (H, W), with the authors' arithmetic."""
    parts = []
    for scale, share in SEMI_DENSE_SCALES:
        scaled = F.interpolate(gray[None, None], scale_factor=scale, mode="bilinear")
        image = _to_multiple_of_stride(scaled)
        features, _, reliability = network(normalise(image))
        columns = features.shape[-1]
        flat = reliability.flatten()
        scores, index = flat.topk(min(len(flat), int(top_k * share)))
        cells = torch.stack([index % columns, index // columns], 1)
        stretch = scores.new_tensor(
            [scaled.shape[-1] / image.shape[-1] / scale, scaled.shape[-2] / image.shape[-2] / scale]
        )
        descriptors = features[0].flatten(1).T[index]
        parts.append((cells * CELL * stretch, scores, descriptors, torch.full_like(scores, 1 / scale)))
    points, scores, descriptors, scales = (torch.cat(column) for column in zip(*parts, strict=True))
    to_stored = points.new_tensor([stored_size[0] / gray.shape[1], stored_size[1] / gray.shape[0]])
    return _features(points * to_stored, scores, descriptors, stored_size, scales * to_stored.mean())


def match(features0: Features, features1: Features, min_cossim: float) -> Matches:
    """Return mutual nearest neighbours by dot product, two full products."""
    d0, d1 = torch.from_numpy(features0.descriptors).float(), torch.from_numpy(features1.descriptors).float()
    if len(d0) == 0 or len(d1) == 0:
        return Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32))
    best01, index01 = (d0 @ d1.T).max(1)
    _, index10 = (d1 @ d0.T).max(1)
    keep = index10[index01] == torch.arange(len(d0))
    if min_cossim > 0:
        keep &= best01 > min_cossim
    first = keep.nonzero()[:, 0]
    return Matches(torch.stack([first, index01[first]], 1).int().numpy(), best01[first].numpy())


def refine(
    refiner: Callable[[Tensor, Tensor], Tensor], features0: Features, features1: Features, matches: Matches
) -> PointMatches:
    """Refine as XFeat* does: move the first image's points by a soft-argmax minus 4, keep confidence above 0.25."""
    assert features0.scales is not None
    first, second = matches.indices.T
    logits = refiner(
        torch.from_numpy(features0.descriptors[first]).float(), torch.from_numpy(features1.descriptors[second]).float()
    )
    weights = torch.softmax(3 * logits, -1)
    position = torch.arange(CELL) - CELL // 2
    grid = weights.view(-1, CELL, CELL)
    offsets = torch.stack([(grid * position).sum((1, 2)), (grid * position[:, None]).sum((1, 2))], 1)
    confidence = weights.max(-1).values.numpy()
    keep = confidence > 0.25
    points0 = features0.keypoints[first] + offsets.numpy() * features0.scales[first, None]
    return PointMatches(points0[keep], features1.keypoints[second][keep], confidence[keep])


def _to_multiple_of_stride(image: Tensor) -> Tensor:
    height, width = (side // STRIDE * STRIDE for side in image.shape[-2:])
    if height == 0 or width == 0:
        raise ImageError(f"reference decoding needs at least {STRIDE} pixels on each side; use decoding=default")
    return F.interpolate(image, (height, width), mode="bilinear")


def _sample(values: Tensor, points: Tensor, mode: str, height: int | None = None, width: int | None = None) -> Tensor:
    height, width = height or values.shape[-2], width or values.shape[-1]
    grid = 2.0 * (points / points.new_tensor([width - 1, height - 1], dtype=torch.float32)) - 1.0
    return F.grid_sample(values, grid[None, None], mode=mode, align_corners=False)[0, :, 0].T


def _features(
    points: Tensor, scores: Tensor, descriptors: Tensor, stored_size: tuple[int, int], scales: Tensor | None = None
) -> Features:
    return Features(
        points.float().cpu().numpy(),
        scores.float().cpu().numpy(),
        descriptors.float().cpu().numpy(),
        stored_size,
        None if scales is None else scales.float().cpu().numpy(),
    )
