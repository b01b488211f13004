"""How well matched points agree on the layout of what two images show, whatever stands before whatever.

Around a true match other true matches lie alike in both images: a step from one to another is about the same step in
both, unless one image is turned against the other. Chance matches do not, and neither do those of a pattern that looks
the same turned, once matches farther off are asked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xfeat_cli.types import FloatArray

MOST_MATCHES = 256
"""More matches than these are thinned out: their agreement tells no more, and its cost grows with their square."""

_NEIGHBOURS, _AGREEING = 4, 2
_FEWEST = 8
_SHARE = 0.5


def support(points0: FloatArray, points1: FloatArray) -> int:
    """Return how many of the matched points (N, 2) and (N, 2), of at most MOST_MATCHES of them, lie alike in both
    images.

    A match counts when at least two of the four others nearest to it, and half of all that pass this, lie from it in
    the second image as in the first, give or take half the step. So two images at the same turn and about the same
    scale have support, and others hardly any. Points are in pixels of any size, each image in its own.
    """
    if len(points0) < _FEWEST:
        return 0
    if len(points0) > MOST_MATCHES:
        chosen = np.linspace(0, len(points0) - 1, MOST_MATCHES).astype(int)
        points0, points1 = points0[chosen], points1[chosen]
    steps0, agree = _steps(points0, points1)
    lengths = np.where(np.eye(len(points0), dtype=bool), np.inf, steps0)
    nearest = np.argpartition(lengths, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    passed = np.flatnonzero(np.take_along_axis(agree, nearest, 1).sum(1) >= _AGREEING)
    return int((agree[np.ix_(passed, passed)].sum(1) - 1 >= _SHARE * (len(passed) - 1)).sum())


def _steps(points0: FloatArray, points1: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return between all points: squared lengths of the steps in the first image (N, N), and whether both steps
    agree.
    """
    x0, y0, x1, y1 = (axis[None, :] - axis[:, None] for axis in (*points0.T, *points1.T))
    squared = x0 * x0 + y0 * y0
    return squared, 4 * ((x1 - x0) ** 2 + (y1 - y0) ** 2) <= squared
