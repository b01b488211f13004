"""XFeat* refinement of matched cells, at both ends; what the refiner's answers mean stands in `labels.py`.

With the authors' labels nearest cells have offsets of either sign, and a negative one lies outside cell 0, where the
refiner answers "about zero"; but then the reference point of cell 0 shows a point inside cell 1. So each end moves by
its own offset: along each axis one of the two moves carries the offset and the other is near zero, and what the refiner
adds to both cancels. With ours either answer alone tells the whole offset, so each end moves by half of its own, and
the errors of the two answers average. Either way an image matched with itself moves equally at both ends: no bias.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from xfeat_cli.coordinates import offset_from_upright
from xfeat_cli.model.labels import CENTRE, Labels
from xfeat_cli.types import Features, FloatArray, Matches, PointMatches


def refine(
    refiner: Callable[[Tensor, Tensor], Tensor],
    features0: Features,
    features1: Features,
    matches: Matches,
    min_confidence: float | None,
    labels: Labels,
) -> PointMatches:
    """Map matched semi-dense features → points refined at both ends, in stored-image pixels.

    refiner: raw descriptors (M, 64), (M, 64) → logits (M, 64). A match is kept where both ends' confidence reaches
    `min_confidence` (None = what the labels ask for) and both points lie in their images; its score is the smaller
    confidence.
    """
    if features0.scales is None or features1.scales is None:
        raise ValueError("refinement needs semi-dense features")
    if min_confidence is None:
        min_confidence = labels.min_confidence
    first, second = matches.indices.T
    d0, d1 = torch.from_numpy(features0.descriptors[first]), torch.from_numpy(features1.descriptors[second])
    points0, confidence0 = _move(features0, first, refiner(d0, d1), labels)
    keep = (confidence0 >= min_confidence) & _inside(points0, features0.image_size)
    # A match needs both ends, so the second is asked only for those whose first is good.
    points1, confidence1 = _move(features1, second[keep], refiner(d1[keep], d0[keep]), labels)
    keep1 = (confidence1 >= min_confidence) & _inside(points1, features1.image_size)
    confidence = np.minimum(confidence0[keep], confidence1)[keep1]
    return PointMatches(
        points0[keep][keep1].astype(np.float32), points1[keep1].astype(np.float32), confidence.astype(np.float32)
    )


def _move(features: Features, index: np.ndarray, logits: Tensor, labels: Labels) -> tuple[FloatArray, FloatArray]:
    """Return the points (M, 2) of the cells `index` (M,), moved as the logits (M, 64) say; the confidence (M,)."""
    assert features.scales is not None
    offsets, confidence = (part.cpu().numpy() for part in labels.decode(logits))
    offsets = np.stack(offset_from_upright(offsets[:, 0], offsets[:, 1], features.orientation), 1)
    return features.keypoints[index] + share(labels) * offsets * features.scales[index, None], confidence


def share(labels: Labels) -> float:
    """Return the part of a refiner's answer that each end of a match moves by."""
    return 0.5 if labels is CENTRE else 1.0


def _inside(points: FloatArray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(((points >= -0.5) & (points <= np.array(size) - 0.5)).all(1))
