"""A keypoint target that does not know which way is up, made from a keypoint head that does.

A head may put its keypoints beside what it detects, always to the same side: between upright views that cancels,
between turned ones it does not. Its heatmaps of the eight turns of an image, each moved back by that bias, turned back
and averaged, agree on the place; and they keep the head's choice, since a peak stays high where all turns have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.mirror import LEFT_RIGHT, TOP_BOTTOM, movement, places
from xfeat_cli.model import heatmap
from xfeat_cli.synthesis.geometry import pixels, to_grid
from xfeat_cli.training.keypoint_maps import cell_probabilities
from xfeat_cli.training.turns import TURNS, turned, turned_back
from xfeat_cli.xfeat import XFeat

_GAIN = 1.25
"""Factor on the mean of the heatmaps: where they do not quite agree it is lower than each of them, and extraction
leaves out keypoints that are lower than a threshold."""

_TOP_K = 1024

Bias = tuple[float, float]
"""(x, y) px from what a head detects to where it puts its keypoints, right and down."""


def measured_bias(xfeat: XFeat, photographs: Sequence[Tensor]) -> Bias:
    """Return the bias of a head, measured on photographs (h, w) uint8 and their mirror images.

    Raises UsageError if there are no keypoints.
    """
    sparse = XFeat(xfeat.config, runtime=xfeat.runtime, resize=0, top_k=_TOP_K)
    moved = [
        places(lambda image: sparse.detect(image).keypoints, photo.cpu().numpy().astype("float32") / 255)
        for photo in photographs
    ]
    right = -movement([found[LEFT_RIGHT] for found in moved]).shift_px[0] / 2
    down = -movement([found[TOP_BOTTOM] for found in moved]).shift_px[1] / 2
    if not (math.isfinite(right) and math.isfinite(down)):
        raise UsageError("the photographs show the teacher no keypoints, from which its bias could be measured")
    return right, down


def symmetric_probabilities(
    keypoint_logits: Callable[[Tensor], Tensor], images: Tensor, grids: int, bias: Bias
) -> Tensor:
    """Map prepared images (B, 1, H, W) → (B, 65, H/8, W/8): the probabilities of the keypoint at each pixel of a cell,
    then of none.

    keypoint_logits: the head, prepared images → logits (B, 65, ·, ·). grids: as extraction averages them.
    """
    total = sum(_turned_heat(keypoint_logits, images, turn, grids, bias) for turn in TURNS)
    assert isinstance(total, Tensor)
    return cell_probabilities(total * (_GAIN / len(TURNS)))


def _turned_heat(
    keypoint_logits: Callable[[Tensor], Tensor], images: Tensor, turn: int, grids: int, bias: Bias
) -> Tensor:
    """Return the heatmap (B, H, W) of turned images, moved back by the bias, and turned back."""
    image = turned(images, turn).contiguous()
    first = heatmap.from_logits(keypoint_logits(image))
    return turned_back(moved_back(heatmap.averaged(first, keypoint_logits, image, grids), bias), turn)


def moved_back(heat: Tensor, bias: Bias) -> Tensor:
    """Return maps (B, H, W) whose content has moved by −bias, between pixels by cubic convolution; nothing comes in."""
    height, width = heat.shape[-2:]
    there = pixels((height, width), heat.device) + torch.tensor(bias, device=heat.device)
    grid = to_grid(there, (height, width)).expand(len(heat), -1, -1, -1)
    moved = F.grid_sample(heat[:, None], grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    return moved[:, 0].clamp_min(0)
