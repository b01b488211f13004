"""Positions of GPS against those of a model, and the local frame that both are shown in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xfeat_cli.alignment import Similarity, align

Float64Array = npt.NDArray[np.float64]

_TRIALS, _ROUNDS = 200, 3
_STEEPER = 1 / (1 - 6.694379990141e-3)
"""How much steeper the vertical of the WGS84 ellipsoid is than the line from the earth's centre."""

_FAR = 4.0
"""Positions this many times farther off than the median do not take part in the alignment."""


def local_frame(positions: Float64Array) -> Float64Array:
    """Map earth-centred positions (N, 3) → east, north, up from their median, metres."""
    origin = np.median(positions, axis=0)
    up = origin * (1, 1, _STEEPER)
    up = up / np.linalg.norm(up)
    east = np.cross((0.0, 0.0, 1.0), up)
    east = east / np.linalg.norm(east) if np.linalg.norm(east) > 1e-9 else np.array([1.0, 0.0, 0.0])
    return (positions - origin) @ np.stack([east, np.cross(up, east), up]).T


def aligned(centres: Float64Array, positions: Float64Array) -> Similarity | None:
    """Return the similarity that brings the model's centres (N, 3) to the positions; those far off do not take part.

    It begins with the three whose similarity leaves the least median distance. None with fewer than three, or where all
    stand at one place.
    """
    if len(centres) < 3 or np.ptp(centres, axis=0).max() == 0 or np.ptp(positions, axis=0).max() == 0:
        return None
    rng = np.random.default_rng(0)
    trials = [rng.choice(len(centres), 3, replace=False) for _ in range(_TRIALS)]
    candidates = [align(centres[some], positions[some]) for some in trials]
    found = min(candidates, key=lambda candidate: _median(candidate, centres, positions))
    for _ in range(_ROUNDS):
        away = np.linalg.norm(found.apply(centres) - positions, axis=1)
        near = away <= max(_FAR * float(np.median(away)), 1e-6)
        found = align(centres[near], positions[near])
    return found


def _median(similarity: Similarity, centres: Float64Array, positions: Float64Array) -> float:
    return float(np.median(np.linalg.norm(similarity.apply(centres) - positions, axis=1)))
