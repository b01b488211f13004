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


@dataclass(frozen=True)
class Labels:
    """name: as in the metadata of weights. reference: position of the reference point in its cell, px along each axis
    from the cell's first pixel. first: offset of label 0. sharpness: factor on the logits before the softmax.
    min_confidence: least confidence of a match that is kept, unless the user says otherwise."""

    name: str
    reference: float
    first: float
    sharpness: float
    min_confidence: float

    def decode(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 64) logits → offsets (M, 2), x and y, and confidences (M,), the largest probability."""
        weights = torch.softmax(self.sharpness * logits.float(), 1)
        position = torch.arange(CELL, device=weights.device) + self.first
        grid = weights.view(-1, CELL, CELL)
        return torch.stack([(grid.sum(1) * position).sum(1), (grid.sum(2) * position).sum(1)], 1), weights.amax(1)

    def targets(self, offsets: Tensor) -> Tensor:
        """Offsets (M, 2) → probabilities (M, 64) whose mean is the offset; one out of reach counts as the nearest."""
        position = (offsets - self.first).clamp(0, CELL - 1)
        low = position.floor().clamp_max(CELL - 2)
        part = (position - low)[..., None]
        ones = F.one_hot(low.long(), CELL), F.one_hot(low.long() + 1, CELL)
        x, y = (ones[0] * (1 - part) + ones[1] * part).unbind(1)
        return (y[:, :, None] * x[:, None, :]).flatten(1)


CORNER = Labels("corner", reference=0.0, first=0.5, sharpness=3.0, min_confidence=0.25)
"""The authors': offsets 0 to 7 are floors, so each stands for its pixel's middle; offsets below 0 have no label."""

CENTRE = Labels("centre", reference=(CELL - 1) / 2, first=-(CELL - 1) / 2, sharpness=1.0, min_confidence=0.08)
"""Ours: from the cell's centre, as many offsets on either side; nearest cells are mostly less than half a cell away.
The confidence is a probability, and 0.08 keeps about half of the matches under strong change (`xfeat eval warps`)."""

LABELS = {labels.name: labels for labels in (CORNER, CENTRE)}
