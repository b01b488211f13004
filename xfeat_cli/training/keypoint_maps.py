"""Keypoints as maps of probabilities, and those as the targets of the cells that the keypoint head sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model.network import CELL

_SPREAD_PX = 0.7
"""Standard deviation of a keypoint in a map: less, and a peak's height would depend on where it lies between pixels;
more, and neighbours would merge."""

_REACH = 3


def spread(image: Tensor, points: Tensor, masses: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return keypoints as maps (B, H, W): each mass (M,), a Gaussian of _SPREAD_PX around its point (M, 2), added into
    the map of its image (M,). What falls outside is lost.
    """
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
    """Return a map of keypoints (B, H, W), sides multiples of 8 → (B, 65, H/8, W/8) probabilities in each cell, the
    last that of none; a cell that holds more than one keypoint in all is shared out among its pixels.
    """
    cells = F.pixel_unshuffle(keypoints[:, None], CELL)
    total = cells.sum(1, keepdim=True)
    cells = cells / total.clamp_min(1)
    return torch.cat([cells, 1 - total.clamp_max(1)], 1)
