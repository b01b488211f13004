"""One least-squares problem over the links of all pairs: a shift and an uncertainty for each keypoint.

Robust (iteratively reweighted) and solved by conjugate gradients with a 2 × 2 block for each keypoint as the
preconditioner. A weak prior towards no shift fixes what links cannot: a whole track may move together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xfeat_cli.types import FloatArray, IndexArray, Links

PRIOR = 4.0
"""Standard deviation of a keypoint's shift before any registration, units."""

ROBUST_SCALE = 0.24
"""Disagreement, units, from which a link loses weight."""

_ROUNDS = 4
_MOST_STEPS = 80
_ACCURACY = 1e-6


@dataclass(frozen=True)
class Problem:
    """Links between `count` keypoints. first, second: (L,) numbers of the keypoints in image 0 and 1 of links."""

    count: int
    first: IndexArray
    second: IndexArray
    links: Links


@dataclass(frozen=True)
class Solution:
    """shifts: (N, 2) float64, units. precision: (N,) of each keypoint, given its neighbours: the least information of
    its links in any direction, robust weights included; 1/units². residuals: (L,) distance between what a link says and
    the shifts, units.
    """

    shifts: FloatArray
    precision: FloatArray
    residuals: FloatArray


class _Matrix(NamedTuple):
    """L matrices of 2 × 2, entry by entry."""

    xx: FloatArray
    xy: FloatArray
    yx: FloatArray
    yy: FloatArray

    def times(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.xx * x + self.xy * y, self.yx * x + self.yy * y

    def transposed(self) -> _Matrix:
        return _Matrix(self.xx, self.yx, self.xy, self.yy)

    def scaled(self, by: FloatArray) -> _Matrix:
        return _Matrix(self.xx * by, self.xy * by, self.yx * by, self.yy * by)

    def after(self, other: _Matrix) -> _Matrix:
        xx, yx = self.times(other.xx, other.yx)
        xy, yy = self.times(other.xy, other.yy)
        return _Matrix(xx, xy, yx, yy)

    def inverse(self) -> _Matrix:
        determinant = self.xx * self.yy - self.xy * self.yx
        return _Matrix(self.yy / determinant, -self.xy / determinant, -self.yx / determinant, self.xx / determinant)

    def least_eigenvalue(self) -> FloatArray:
        """Return the least eigenvalue of symmetric matrices."""
        half = (self.xx + self.yy) / 2
        return half - np.sqrt(np.maximum(half**2 - (self.xx * self.yy - self.xy * self.yx), 0))


def solve(problem: Problem) -> Solution:
    """Return minimise Σ ρ(|second − affine · first − shift|) + |shifts|² / PRIOR² over the shifts of all keypoints."""
    links = problem.links
    affine = _Matrix(*links.affines.astype(np.float64).reshape(-1, 4).T)
    wanted_x, wanted_y = links.shifts.astype(np.float64).T
    xx, xy, yy = links.information.astype(np.float64).T
    information = _Matrix(xx, xy, xy, yy)
    graph = _Graph(problem, affine)
    x: FloatArray = np.zeros(problem.count)
    y: FloatArray = np.zeros(problem.count)
    least: float | None = None
    for number in range(_ROUNDS):
        error_x, error_y = graph.differences(x, y)
        squared = ((error_x - wanted_x) ** 2 + (error_y - wanted_y) ** 2) / ROBUST_SCALE**2
        trust = np.ones(len(links)) if number == 0 else (1 + squared) ** (-1.0 if number == 1 else -2.0)
        weights = information.scaled(trust)
        right = graph.gather(*weights.times(wanted_x, wanted_y))
        x, y, least = graph.conjugate_gradients(weights, right, (x, y), least)
    error_x, error_y = graph.differences(x, y)
    residuals = np.hypot(error_x - wanted_x, error_y - wanted_y)
    return Solution(np.stack([x, y], 1), graph.diagonal(weights, 0.0).least_eigenvalue(), residuals)


class _Graph:
    """The linear maps of a problem: from shifts to what links see, and back."""

    def __init__(self, problem: Problem, affine: _Matrix) -> None:
        self._count = problem.count
        self._first, self._second = problem.first, problem.second
        self._ends = np.concatenate([problem.second, problem.first])
        self._affine, self._back = affine, affine.transposed()

    def differences(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        ahead_x, ahead_y = self._affine.times(x[self._first], y[self._first])
        return x[self._second] - ahead_x, y[self._second] - ahead_y

    def gather(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the transpose of `differences`."""
        back_x, back_y = self._back.times(x, y)
        return self._sum(x, -back_x), self._sum(y, -back_y)

    def _sum(self, at_second: FloatArray, at_first: FloatArray) -> FloatArray:
        return np.bincount(self._ends, np.concatenate([at_second, at_first]), self._count).astype(
            np.float64, copy=False
        )

    def diagonal(self, weights: _Matrix, prior: float) -> _Matrix:
        at_first = self._back.after(weights).after(self._affine)
        xx, xy, yy = (self._sum(getattr(weights, key), getattr(at_first, key)) for key in ("xx", "xy", "yy"))
        return _Matrix(xx + prior, xy, xy, yy + prior)

    def conjugate_gradients(
        self,
        weights: _Matrix,
        right: tuple[FloatArray, FloatArray],
        start: tuple[FloatArray, FloatArray],
        least: float | None,
    ) -> tuple[FloatArray, FloatArray, float]:
        """Solve the normal equations; `least`: the squared residual to stop at, None = a share of the first."""
        prior = PRIOR**-2
        precondition = self.diagonal(weights, prior).inverse()

        def normal(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
            out_x, out_y = self.gather(*weights.times(*self.differences(x, y)))
            return out_x + prior * x, out_y + prior * y

        x, y = start
        now_x, now_y = normal(x, y)
        rest_x, rest_y = right[0] - now_x, right[1] - now_y
        way_x, way_y = near_x, near_y = precondition.times(rest_x, rest_y)
        size = float(rest_x @ near_x + rest_y @ near_y)
        least = _ACCURACY * size if least is None else least
        for _ in range(_MOST_STEPS):
            if size <= least:
                break
            ahead_x, ahead_y = normal(way_x, way_y)
            length = size / (way_x @ ahead_x + way_y @ ahead_y)
            x, y = x + length * way_x, y + length * way_y
            rest_x, rest_y = rest_x - length * ahead_x, rest_y - length * ahead_y
            near_x, near_y = precondition.times(rest_x, rest_y)
            before, size = size, float(rest_x @ near_x + rest_y @ near_y)
            way_x, way_y = near_x + size / before * way_x, near_y + size / before * way_y
        return x, y, least
