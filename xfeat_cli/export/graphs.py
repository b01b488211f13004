"""The graphs that are exported: modules whose every operation, for any size and batch, has a counterpart in ONNX.

They compute what `model.decode` and `matching` compute. Features have a fixed number of rows, best first; rows whose
score is 0 fill up, or are the neighbour of an equal keypoint, and are to be dropped. Pixels are (x, y) with (0, 0) at
the centre of the top-left pixel of the image that is given.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xfeat_cli.coordinates import pixel_to_cell, pixel_to_grid, rescale
from xfeat_cli.matching.refine import share
from xfeat_cli.model import heatmap, peaks
from xfeat_cli.model.decode import SEMI_DENSE_SCALES
from xfeat_cli.model.labels import Labels
from xfeat_cli.model.network import CELL, STRIDE, XFeatNetwork

_EPSILON = 1e-5


class SparseGraph(nn.Module):
    """image (B, C, H, W) in [0, 1] → keypoints (B, K, 2), scores (B, K), descriptors (B, K, 64) of unit norm."""

    outputs = ("keypoints", "scores", "descriptors")

    def __init__(self, network: XFeatNetwork, dtype: torch.dtype, top_k: int, threshold: float, grids: int) -> None:
        """network: folded. dtype: of its convolutions."""
        super().__init__()
        self._network = network.to(dtype)
        self._of_blocks = heatmap.head_of_blocks(network.keypoint_head).to(dtype)
        self._dtype, self._top_k, self._threshold, self._grids = dtype, top_k, threshold, grids

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        height, width = image.shape[2], image.shape[3]
        prepared = normalised(image.float().mean(1)).to(self._dtype)
        features = self._network.describe(prepared)
        reliability = self._network.heatmap_head(features).float()
        heat = self._heatmap(prepared)[:, :height, :width]
        dense = F.interpolate(reliability, scale_factor=float(CELL), mode="bilinear")[:, 0, :height, :width]
        is_peak = heat == F.max_pool2d(heat[:, None], 5, stride=1, padding=peaks.SUPPRESSION_RADIUS)[:, 0]
        scores = torch.where(is_peak & (heat > self._threshold), heat * dense, torch.zeros_like(heat)).flatten(1)
        best, index = best_of(scores, self._top_k)
        points, first_of_equals = peaks.locate(heat, index)
        return points, torch.where(first_of_equals, best, torch.zeros_like(best)), _sampled(features.float(), points)

    def _heatmap(self, prepared: Tensor) -> Tensor:
        if self._grids == 4:
            return heatmap.from_block_logits(self._of_blocks(F.pixel_unshuffle(prepared, heatmap.BLOCK)))
        first = heatmap.from_logits(self._logits(prepared))
        return heatmap.averaged(first, self._logits, prepared, self._grids)

    def _logits(self, prepared: Tensor) -> Tensor:
        return self._network.keypoint_head(F.pixel_unshuffle(prepared, CELL))


class DenseGraph(nn.Module):
    """image (B, C, H, W) in [0, 1] → keypoints (B, K, 2), scores (B, K), raw descriptors (B, K, 64), scales (B, K).

    scales: pixels of the image per pixel of the scaled image that the cell is of.
    """

    outputs = ("keypoints", "scores", "descriptors", "scales")

    def __init__(self, network: XFeatNetwork, dtype: torch.dtype, top_k: int, reference: float) -> None:
        super().__init__()
        self._network = network.to(dtype)
        self._dtype, self._top_k, self._reference = dtype, top_k, reference

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gray = image.float().mean(1)
        (available0, *pass0), (available1, *pass1) = (self._cells(gray, scale) for scale, _ in SEMI_DENSE_SCALES)
        first, second = self._split(available0, available1)
        row = torch.arange(self._top_k)
        scores, *others = (torch.cat(parts, 1) for parts in zip(pass0, pass1, strict=True))
        best, order = best_of(scores * torch.cat([row < first, row < second]), self._top_k)
        points, descriptors, scales = others
        return _rows(points, order), best, _rows(descriptors, order), scales.gather(1, order)

    def _split(self, available0: Tensor, available1: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many cells each pass gives, as in `model.decode`."""
        total = (available0 + available1).clamp_max(self._top_k)
        share = _scaled(total, SEMI_DENSE_SCALES[0][1])
        first = torch.minimum(available0, share.clamp_min(1))
        second = torch.minimum(available1, total - first)
        return torch.minimum(available0, total - second), second

    def _cells(self, gray: Tensor, scale: float) -> tuple[Tensor, ...]:
        """Return the number of cells in the image, and the best: scores, points, raw descriptors, scales."""
        size = gray.shape[1], gray.shape[2]
        scaled = _scaled(size[0], scale), _scaled(size[1], scale)
        resized = _reduced(gray, scaled) if scale < 1 else F.interpolate(gray[:, None], scaled, mode="bilinear")[:, 0]
        features = self._network.describe(normalised(resized).to(self._dtype))
        reliability = self._network.heatmap_head(features).float()[:, 0]
        y, stretch_y = self._positions(reliability.shape[1], scaled[0], size[0])
        x, stretch_x = self._positions(reliability.shape[2], scaled[1], size[1])
        inside = (y <= size[0] - 0.5)[:, None] & (x <= size[1] - 0.5)
        best, index = best_of((reliability * inside).flatten(1), self._top_k)
        columns = reliability.shape[2]
        points = torch.stack([x[index % columns], y[index // columns]], -1)
        descriptors = _rows(features.float().flatten(2).transpose(1, 2), index)
        return inside.sum(), best, points, descriptors, torch.ones_like(best) * (stretch_x + stretch_y) / 2

    def _positions(self, cells: int, scaled: int, size: int) -> tuple[Tensor, Tensor]:
        """Return where the cells' reference points lie along an axis, px of the image, and the px per scaled px."""
        stretch = torch.ones(()) * size / scaled
        return rescale(torch.arange(cells) * float(CELL) + self._reference, stretch), stretch


class MatcherGraph(nn.Module):
    """descriptors0 (N, 64), descriptors1 (M, 64) of any norm → matches (N,) int64, −1 = none, and cosines (N,).

    Mutual nearest neighbours of at least `min_cossim`.
    """

    outputs = ("matches", "scores")

    def __init__(self, min_cossim: float) -> None:
        super().__init__()
        self._min_cossim = min_cossim

    def forward(self, descriptors0: Tensor, descriptors1: Tensor) -> tuple[Tensor, Tensor]:
        similarity = F.normalize(descriptors0, dim=1) @ F.normalize(descriptors1, dim=1).T
        best, forth = similarity.max(1)
        back = similarity.max(0)[1]
        mutual = back[forth] == torch.arange(descriptors0.shape[0])
        kept = mutual & (best >= self._min_cossim)
        return torch.where(kept, forth, torch.full_like(forth, -1)), best


class RefinerGraph(nn.Module):
    """Raw descriptors (M, 64) of matched cells of two images → offsets (M, 2) and confidences (M,).

    Image 0's points are its keypoints + offset × scale. For image 1's, swap the inputs.
    """

    outputs = ("offsets", "confidences")

    def __init__(self, layers: list[nn.Linear], labels: Labels, dtype: torch.dtype) -> None:
        super().__init__()
        self._layers = nn.ModuleList(layers).to(dtype)
        self._labels, self._dtype = labels, dtype

    def forward(self, descriptors0: Tensor, descriptors1: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.cat([descriptors0, descriptors1], 1).to(self._dtype)
        for layer in self._layers[:-1]:
            hidden = layer(hidden).relu()
        offsets, confidences = self._labels.decode(self._layers[-1](hidden).float())
        return share(self._labels) * offsets, confidences


def normalised(gray: Tensor) -> Tensor:
    """Map (B, H, W) → (B, 1, H', W'), as `model.decode.prepare`."""
    centred = gray - gray.mean((1, 2), keepdim=True)
    image = centred * torch.rsqrt(centred.square().mean((1, 2), keepdim=True) + _EPSILON)
    return F.pad(image[:, None], (0, -gray.shape[2] % STRIDE, 0, -gray.shape[1] % STRIDE), mode="replicate")


def best_of(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` largest of (B, N) scores ≥ 0, descending, and where; zeros fill up where N is less."""
    best, index = F.pad(scores, (0, count)).topk(count)
    return best, index % scores.shape[1]


def _scaled(side: Any, scale: float) -> Any:
    """Return round(side × scale) for a scale of tenths, halves to even, in whole numbers, which a graph
    computes too.
    """
    tenths = side * round(10 * scale)
    upper = (tenths + 5) // 10
    return upper - (tenths % 10 == 5) * (upper % 2)


def _reduced(gray: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, H, W) at a smaller (h, w), bilinear and averaged, as `interpolate` with antialias, for which ONNX's
    exporter has no counterpart.
    """
    return _weights(gray.shape[1], size[0]) @ gray @ _weights(gray.shape[2], size[1]).T


def _weights(before: int, after: int) -> Tensor:
    """Return what each of `after` pixels along an axis takes of each of `before`: (after, before), rows of sum 1."""
    stretch = torch.ones(()) * before / after
    centre = (torch.arange(after) + 0.5) * stretch
    share = (1 - (torch.arange(before) + 0.5 - centre[:, None]).abs() / stretch).clamp_min(0)
    return share / share.sum(1, keepdim=True)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Return rows (B, K, D) of (B, N, D) values."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))


def _sampled(features: Tensor, points: Tensor) -> Tensor:
    """Behave as `model.decode` samples descriptors: bicubic, of the normalised map, normalised again."""
    height, width = features.shape[2], features.shape[3]
    x = pixel_to_grid(pixel_to_cell(points[..., 0], CELL), width)
    y = pixel_to_grid(pixel_to_cell(points[..., 1], CELL), height)
    grid = torch.stack([x, y], -1)[:, :, None]
    sampled = F.grid_sample(F.normalize(features, dim=1), grid, "bicubic", "border", align_corners=False)[..., 0]
    return F.normalize(sampled.transpose(1, 2), dim=2)
