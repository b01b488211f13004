"""The matches of a pair that obey one epipolar geometry."""

from __future__ import annotations

import cv2
import numpy as np

from xfeat_cli.types import BoolArray, FloatArray

_CONFIDENCE = 0.9999
_MOST_TRIALS = 2000
_FEWEST = 8


def epipolar_inliers(points0: FloatArray, points1: FloatArray, tolerance: float) -> BoolArray:
    """Return (N,) bool: the matches within `tolerance` of the fundamental matrix that most of them obey; all False if
    none.

    points0, points1: (N, 2), in any unit. The estimate draws at random, always the same.
    """
    nothing = np.zeros(len(points0), bool)
    if len(points0) < _FEWEST:
        return nothing
    try:
        matrix, mask = cv2.findFundamentalMat(
            np.asarray(points0, np.float64),
            np.asarray(points1, np.float64),
            cv2.USAC_FAST,
            tolerance,
            _CONFIDENCE,
            _MOST_TRIALS,
        )
    except cv2.error:  # degenerate points, such as all on one place
        return nothing
    return nothing if matrix is None or mask is None else mask.ravel() > 0
