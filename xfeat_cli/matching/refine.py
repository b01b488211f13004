"""XFeat* refinement of matched cells, at both ends.

The one place where the refiner's labels are defined. For two matched cells with first pixels a0 and a1, the refiner
says where in cell 0 the point lies that a1 shows: label (j, i) is the pixel a0 + (j, i), a position floor(δ) for a
true offset δ = p0 − a0 in [0, 8), so it decodes to (j + 0.5, i + 0.5).

Nearest cells have offsets of either sign, and a negative one lies outside cell 0, where the refiner answers "about
zero"; but then a0 shows a point inside cell 1. So each end moves by its own offset: along each axis one of the two
moves carries the offset and the other is near zero, and what the refiner adds to both cancels. An image matched with
itself therefore moves equally at both ends: no bias, whatever the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from xfeat_cli.model.network import CELL
from xfeat_cli.types import Features, FloatArray, Matches, PointMatches

SHARPNESS = 3.0
"""Factor on the logits before the softmax, as the authors decode."""


def refine(
    refiner: Callable[[Tensor, Tensor], Tensor],
    features0: Features,
    features1: Features,
    matches: Matches,
    min_confidence: float,
) -> PointMatches:
    """Matched semi-dense features → points refined at both ends, in stored-image pixels.

    refiner: raw descriptors (M, 64), (M, 64) → logits (M, 64). A match is kept where both ends' confidence reaches
    `min_confidence` and both points lie in their images; its score is the smaller confidence.
    """
    if features0.scales is None or features1.scales is None:
        raise ValueError("refinement needs semi-dense features")
    first, second = matches.indices.T
    d0, d1 = torch.from_numpy(features0.descriptors[first]), torch.from_numpy(features1.descriptors[second])
    points0, confidence0 = _move(features0, first, refiner(d0, d1))
    keep = (confidence0 >= min_confidence) & _inside(points0, features0.image_size)
    # A match needs both ends, so the second is asked only for those whose first is good.
    points1, confidence1 = _move(features1, second[keep], refiner(d1[keep], d0[keep]))
    keep1 = (confidence1 >= min_confidence) & _inside(points1, features1.image_size)
    confidence = np.minimum(confidence0[keep], confidence1)[keep1]
    return PointMatches(
        points0[keep][keep1].astype(np.float32), points1[keep1].astype(np.float32), confidence.astype(np.float32)
    )


def _move(features: Features, index: np.ndarray, logits: Tensor) -> tuple[FloatArray, FloatArray]:
    """The points (M, 2) of the cells `index` (M,), moved as the logits (M, 64) say; the confidence (M,)."""
    assert features.scales is not None
    offsets, confidence = _decode(logits)
    return features.keypoints[index] + offsets * features.scales[index, None], confidence


def _decode(logits: Tensor) -> tuple[FloatArray, FloatArray]:
    """(M, 64) logits → offsets (M, 2) from the cell's first pixel, in pixels of the scaled image; confidence (M,)."""
    weights = torch.softmax(SHARPNESS * logits.float(), 1)
    position = torch.arange(CELL, device=weights.device) + 0.5
    grid = weights.view(-1, CELL, CELL)
    offsets = torch.stack([(grid.sum(1) * position).sum(1), (grid.sum(2) * position).sum(1)], 1)
    return offsets.cpu().numpy(), weights.amax(1).cpu().numpy()


def _inside(points: FloatArray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(((points >= -0.5) & (points <= np.array(size) - 0.5)).all(1))
