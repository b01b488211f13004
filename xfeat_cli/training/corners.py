"""Corners of the structure tensor: what a keypoint is for a network that starts from nothing and has no teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model.network import CELL

_RADIUS = 2
_QUALITY = 0.02
"""Least response of a corner, in responses of the image's strongest. Source: Shi and Tomasi, CVPR 1994."""


def corner_probabilities(images: Tensor) -> Tensor:
    """Map prepared images (B, 1, H, W) → (B, 65, h, w): the strongest corner of a cell, else its dustbin."""
    derivative = torch.tensor([[-1.0, 0.0, 1.0]], device=images.device).view(1, 1, 1, 3)
    smooth = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    window = (smooth[:, None] * smooth[None])[None, None]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    gx = F.conv2d(padded[:, :, 1:-1], derivative)
    gy = F.conv2d(padded[:, :, :, 1:-1], derivative.mT)
    xx, yy, xy = (F.conv2d(product, window, padding=2) for product in (gx * gx, gy * gy, gx * gy))
    response = (xx + yy) / 2 - (((xx - yy) / 2) ** 2 + xy**2).clamp_min(1e-12).sqrt()
    peak = response == F.max_pool2d(response, 2 * _RADIUS + 1, 1, _RADIUS)
    strong = response > _QUALITY * response.amax((2, 3), keepdim=True)
    strength, position = F.pixel_unshuffle(torch.where(peak & strong, response, 0), CELL).max(1)
    label = torch.where(strength > 0, position, CELL * CELL)
    return F.one_hot(label, CELL * CELL + 1).permute(0, 3, 1, 2).float()
