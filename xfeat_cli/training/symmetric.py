"""A keypoint target that does not know which way is up, made from a keypoint head that does.

A head may put its keypoints beside what it detects, always to the same side: between upright views that cancels,
between turned ones it does not. Its heatmaps of the eight turns of an image, turned back, have their peaks on all sides
of what it detects, so their mean has its peaks there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model import heatmap
from xfeat_cli.model.network import CELL
from xfeat_cli.training.turns import TURNS, turned, turned_back

_SMOOTHING_PX = 1.2
"""Standard deviation of the smoothing that joins the peaks around one place."""

_RADIUS = 2
"""A place is the largest of the 5×5 pixels around it, as a keypoint is."""

_LEAST = 0.008
"""Least smoothed probability of a place; most that are lower are no keypoint in any turn."""

_MASS = 23.0
"""A place whose smoothed probability is p is a keypoint with probability 1 − e^(−_MASS · p): the order of the places
stays, and none counts so much that the best of them could not be told apart."""

_SPREAD_PX = 0.7
"""Standard deviation of a keypoint in the target: less, and a peak's height would depend on where it lies between
pixels; more, and neighbours would merge."""

_REACH = 3


def symmetric_probabilities(keypoint_logits: Callable[[Tensor], Tensor], images: Tensor, grids: int) -> Tensor:
    """Prepared images (B, 1, H, W) → (B, 65, H/8, W/8): the probabilities of the keypoint at each pixel of a cell, then
    of none.

    keypoint_logits: the head, prepared images → logits (B, 65, ·, ·). grids: as extraction averages them.
    """
    mean = torch.stack([_turned_heat(keypoint_logits, images, turn, grids) for turn in TURNS]).mean(0)
    return cell_probabilities(spread(*places(smoothed(mean)), mean.shape))


def _turned_heat(keypoint_logits: Callable[[Tensor], Tensor], images: Tensor, turn: int, grids: int) -> Tensor:
    """The heatmap (B, H, W) of turned images, turned back."""
    image = turned(images, turn).contiguous()
    first = heatmap.from_logits(keypoint_logits(image))
    return turned_back(heatmap.averaged(first, keypoint_logits, image, grids), turn)


def smoothed(heat: Tensor) -> Tensor:
    """(B, H, W) after a Gaussian of _SMOOTHING_PX; what lies outside counts as nothing."""
    reach = math.ceil(3 * _SMOOTHING_PX)
    offset = torch.arange(-reach, reach + 1, device=heat.device, dtype=heat.dtype)
    taps = torch.exp(-0.5 * (offset / _SMOOTHING_PX) ** 2)
    taps = taps / taps.sum()
    along_x = F.conv2d(heat[:, None], taps.view(1, 1, 1, -1), padding=(0, reach))
    return F.conv2d(along_x, taps.view(1, 1, -1, 1), padding=(reach, 0))[:, 0]


def places(heat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Peaks of smooth maps (B, H, W): which image (M,), where (M, 2) between pixels, and their probability (M,).

    The first of equal neighbours is the peak. It lies at the vertex of the parabola through its pixel and the two
    beside it along each axis.
    """
    is_peak = (heat > _LEAST) & (heat == _largest_around(heat))
    order = torch.arange(heat[0].numel(), 0, -1, device=heat.device, dtype=torch.float32).view(heat.shape[1:])
    order = order * is_peak
    is_peak &= order == _largest_around(order)
    margin = torch.zeros_like(is_peak)
    margin[:, 1:-1, 1:-1] = True
    image, y, x = (is_peak & margin).nonzero(as_tuple=True)
    here = heat[image, y, x]
    vertex = []
    for before, after in (
        (heat[image, y, x - 1], heat[image, y, x + 1]),
        (heat[image, y - 1, x], heat[image, y + 1, x]),
    ):
        curvature = (2 * here - before - after).clamp_min(1e-9)
        vertex.append(((after - before) / (2 * curvature)).clamp(-0.5, 0.5))
    points = torch.stack([x + vertex[0], y + vertex[1]], -1)
    return image, points, 1 - torch.exp(-_MASS * here)


def _largest_around(maps: Tensor) -> Tensor:
    return F.max_pool2d(maps[:, None], 2 * _RADIUS + 1, 1, _RADIUS)[:, 0]


def spread(image: Tensor, points: Tensor, masses: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Keypoints as maps (B, H, W): each mass (M,), a Gaussian of _SPREAD_PX around its point (M, 2), added into the map
    of its image (M,). What falls outside is lost."""
    count, height, width = shape
    nearest = points.round().long()
    offset = torch.arange(-_REACH, _REACH + 1, device=points.device)
    weights = []
    for axis in (0, 1):
        apart = nearest[:, axis, None] + offset - points[:, axis, None]
        taps = torch.exp(-0.5 * (apart / _SPREAD_PX) ** 2)
        weights.append(taps / taps.sum(1, keepdim=True))
    values = masses[:, None, None] * weights[1][:, :, None] * weights[0][:, None, :]
    x, y = nearest[:, 0, None, None] + offset, nearest[:, 1, None, None] + offset[:, None]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = (image[:, None, None] * height + y) * width + x
    total = values.new_zeros(count * height * width)
    return total.index_add_(0, flat[inside], values[inside]).view(count, height, width)


def cell_probabilities(keypoints: Tensor) -> Tensor:
    """A map of keypoints (B, H, W), sides multiples of 8 → (B, 65, H/8, W/8) probabilities in each cell, the last that
    of none; a cell that holds more than one keypoint in all is shared out among its pixels."""
    cells = F.pixel_unshuffle(keypoints[:, None], CELL)
    total = cells.sum(1, keepdim=True)
    cells = cells / total.clamp_min(1)
    return torch.cat([cells, 1 - total.clamp_max(1)], 1)
