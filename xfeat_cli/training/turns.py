"""The eight ways to lay an image on its grid of pixels: four quarter turns, each also mirrored.

Maps are (..., H, W). A turn moves whole pixels, so nothing of an image is lost and every map can be turned back.
"""

from __future__ import annotations

import torch
from torch import Tensor

TURNS = range(8)
"""0 changes nothing; 1 to 3 are so many quarter turns, counter-clockwise; 4 to 7 are the same, mirrored afterwards."""

_ALONG = (-2, -1)


def turned(maps: Tensor, turn: int) -> Tensor:
    """Return maps after one of TURNS; an odd one exchanges height and width."""
    maps = torch.rot90(maps, turn % 4, _ALONG)
    return maps.flip(-1) if turn >= 4 else maps


def turned_back(maps: Tensor, turn: int) -> Tensor:
    """Return the maps whose `turned` these are."""
    maps = maps.flip(-1) if turn >= 4 else maps
    return torch.rot90(maps, -(turn % 4), _ALONG)
