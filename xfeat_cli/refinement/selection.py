"""The matches that are kept, and the keypoints that they use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xfeat_cli.config import RefineConfig
from xfeat_cli.types import FloatArray, IntArray, Links, Matches

UNREFINED = 0.4
"""Standard deviation of a keypoint that registration did not move, units, per axis."""

_PIXEL_NOISE = 0.03
"""Standard deviation, units, that more links do not lower: what one image's own pixels leave open."""

_NOISE_SCALE = 1.0
"""Calibrates the rest; both are found from reprojection residuals (docs/measured.md)."""


@dataclass(frozen=True)
class Keypoints:
    """What the solution says of one image's keypoints.

    shifts: (N, 2) units, 0 where not moved. uncertainty: (N,) units, standard deviation per axis. moved: (N,) bool.
    """

    shifts: FloatArray
    uncertainty: FloatArray
    moved: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """indices: (M, 2) kept matches. scores: (M,). refined: whether they use moved keypoints; if not, all are kept."""

    indices: IntArray
    scores: FloatArray
    refined: bool


def judge(shifts: FloatArray, precision: FloatArray, config: RefineConfig) -> Keypoints:
    """shifts: (N, 2) and precision: (N,) of a solution, of one image."""
    moved = (precision > 0) & (np.linalg.norm(shifts, axis=1) <= config.longest_move)
    spread = np.sqrt(_PIXEL_NOISE**2 + _NOISE_SCALE**2 / np.where(moved, precision, 1))
    return Keypoints(
        np.where(moved[:, None], shifts, 0), np.where(moved, np.minimum(spread, UNREFINED), UNREFINED), moved
    )


def select(
    matches: Matches, links: Links, keypoints0: Keypoints, keypoints1: Keypoints, config: RefineConfig
) -> Selection:
    """Return the matches of a pair whose links agree with the solution, or all where too few do."""
    index0, index1 = links.indices.T
    seen = keypoints1.shifts[index1] - (links.affines @ keypoints0.shifts[index0][..., None])[..., 0]
    agree = np.linalg.norm(seen - links.shifts, axis=1) < config.most_residual
    agree &= keypoints0.moved[index0] & keypoints1.moved[index1]
    if np.count_nonzero(agree) < config.least_refined:
        return Selection(matches.indices, matches.scores, refined=False)
    kept = np.isin(matches.indices[:, 0], index0[agree])
    return Selection(matches.indices[kept], matches.scores[kept], refined=True)
