"""Which looks at a moving scene are worth keeping: each sharp, and no two of them of the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from xfeat_cli.matching.nearest import nearest_of_pairs

LEAST_MOTION, MOST_MOTION = 0.03, 0.08
"""Between neighbours that are kept, how far the median feature moves, in longest sides of the image."""

_FEWEST_MATCHES = 20
_LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Look:
    """A frame, reduced. sharpness: to be compared between frames of the same. points (N, 2): in longest sides.

    descriptors (N, D): normalised, on the CPU.
    """

    number: int
    seconds: float
    sharpness: float
    points: np.ndarray
    descriptors: Tensor


class KeyframeChooser:
    """Takes looks one by one and gives those to keep, a little later.

    After a key frame, the sharpest look is the next one among those from which the scene has moved by LEAST_MOTION to
    MOST_MOTION; where nothing of the key frame is to be seen any more, the first such look.
    """

    def __init__(self, min_cossim: float) -> None:
        self._min_cossim = min_cossim
        self._key: Look | None = None
        self._waiting: list[Look] = []

    def add(self, look: Look) -> Iterator[Look]:
        """Yield the looks to keep that are known now that this one has come."""
        pending = [look]
        while pending:
            look = pending.pop(0)
            start = self._key or (self._waiting[0] if self._waiting else look)
            motion = self._motion(start, look)
            if self._key is None:
                # Before the first key frame: the sharpest of those that show the same.
                if motion < LEAST_MOTION:
                    self._waiting.append(look)
                    continue
            elif motion < LEAST_MOTION:
                continue
            elif motion < MOST_MOTION:
                self._waiting.append(look)
                continue
            chosen, later = self._sharpest(look)
            yield chosen
            pending = later + pending

    def end(self) -> Iterator[Look]:
        """Yield the last look to keep."""
        if self._waiting:
            yield max(self._waiting, key=lambda look: look.sharpness)

    def _sharpest(self, look: Look) -> tuple[Look, list[Look]]:
        """Return the key frame among those waiting, or `look` if none is; and what came after it, to be asked again."""
        candidates = [*self._waiting, look]
        chosen = max(self._waiting or candidates, key=lambda waiting: waiting.sharpness)
        self._key, self._waiting = chosen, []
        return chosen, candidates[candidates.index(chosen) + 1 :]

    def _motion(self, one: Look, other: Look) -> float:
        """Return how far the median feature moved: infinite where hardly one is found again, 0 where there is none to
        see.
        """
        if one is other or len(other.points) < _FEWEST_MATCHES:
            return 0.0
        matches = nearest_of_pairs([(one.descriptors, other.descriptors)], self._min_cossim, 1.0)[0]
        fewest = max(_FEWEST_MATCHES, _LEAST_SHARE * min(len(one.points), len(other.points)))
        if len(matches) < fewest:
            return float("inf")
        first, second = matches.indices.T
        return float(np.median(np.linalg.norm(one.points[first] - other.points[second], axis=1)))
