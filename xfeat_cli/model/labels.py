"""What the refiner's 64 answers mean: the one place, for training and for decoding.

The refiner sees the raw descriptors of two cells and says where in image 0 the point lies that the reference point of
the cell of image 1 shows, relative to the reference point of the cell of image 0, in network pixels: label (j, i) is an
offset of (first + j, first + i).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model.network import CELL

_LEAST_KNOWN = 0.25
"""An offset is made at most 1 / this longer: beyond, the refiner knows nothing and the answer is not normal."""


@dataclass(frozen=True)
class Labels:
    """name: as in the metadata of weights. reference: position of the reference point in its cell, px along each axis
    from the cell's first pixel. first: offset of label 0. sharpness: factor on the logits before the softmax.
    prior_variance: px², of all offsets along an axis before the refiner is asked; None = taken as the mean of the
    answers. min_confidence: least confidence of a match that is kept, unless the user says otherwise."""

    name: str
    reference: float
    first: float
    sharpness: float
    prior_variance: float | None
    min_confidence: float

    def decode(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Map (M, 64) logits → offsets (M, 2), x and y, and confidences (M,) in (0, 1].

        The mean of the probabilities is the best guess that knows the prior, so it is drawn to the prior's middle, the
        more the less the refiner knows; neighbours that share an offset would share that error. A known
        `prior_variance` takes it out: with normal distributions, the offset that the images alone speak for is
        mean / (1 − variance / prior). The confidence then is 1 / (1 + variance along x and y, px²); without it, the
        largest probability.
        """
        weights = torch.softmax(self.sharpness * logits.float(), 1)
        position = torch.arange(CELL, device=weights.device) + self.first
        grid = weights.view(-1, CELL, CELL)
        along = torch.stack([grid.sum(1), grid.sum(2)], 1)
        mean = (along * position).sum(2)
        if self.prior_variance is None:
            return mean, weights.amax(1)
        steps = mean - self.first
        between = steps - steps.floor()
        # What an offset between two labels adds, since its target is both.
        variance = ((along * position**2).sum(2) - mean**2 - between * (1 - between)).clamp_min(0)
        offsets = mean / (1 - variance / self.prior_variance).clamp_min(_LEAST_KNOWN)
        return offsets.clamp(-CELL / 2, CELL / 2), 1 / (1 + variance.sum(1))

    def targets(self, offsets: Tensor) -> Tensor:
        """Map offsets (M, 2) → probabilities (M, 64) whose mean is the offset; one out of reach counts as the
        nearest.
        """
        position = (offsets - self.first).clamp(0, CELL - 1)
        low = position.floor().clamp_max(CELL - 2)
        part = (position - low)[..., None]
        ones = F.one_hot(low.long(), CELL), F.one_hot(low.long() + 1, CELL)
        x, y = (ones[0] * (1 - part) + ones[1] * part).unbind(1)
        return (y[:, :, None] * x[:, None, :]).flatten(1)


CORNER = Labels("corner", reference=0.0, first=0.5, sharpness=3.0, prior_variance=None, min_confidence=0.25)
"""The authors': offsets 0 to 7 are floors, so each stands for its pixel's middle; offsets below 0 have no label."""

CENTRE = Labels(
    "centre",
    reference=(CELL - 1) / 2,
    first=-(CELL - 1) / 2,
    sharpness=1.0,
    prior_variance=(CELL**2 - 1) / 12,
    min_confidence=0.2,
)
"""Ours: from the cell's centre, as many offsets on either side; nearest cells are mostly less than half a cell away.
The prior holds all of them equally likely. The confidence keeps about half of the matches under strong change
(`xfeat eval warps`)."""

LABELS = {labels.name: labels for labels in (CORNER, CENTRE)}
