"""Nearest points, with exact answers."""

from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli.evaluation.distances import mutually_nearest, nearest_distances

NOTHING = np.zeros((0, 2), np.float32)


def test_the_nearest_of_several() -> None:
    distances = nearest_distances(np.array([[0, 0], [10, 0]]), np.array([[3, 4], [10, 1], [40, 40]]))
    assert distances.tolist() == [5, 1]


def test_nothing_is_infinitely_far() -> None:
    assert nearest_distances(np.ones((2, 2)), NOTHING).tolist() == [np.inf, np.inf]
    assert nearest_distances(NOTHING, np.ones((2, 2))).shape == (0,)


def test_small_distances_far_from_the_origin_are_exact() -> None:
    points = np.random.default_rng(0).uniform(3000, 4000, (100, 2)).astype(np.float32)
    moved = points + np.float32([0.0078125, 0])
    np.testing.assert_allclose(nearest_distances(points, moved), 0.0078125, rtol=0.05)


def test_each_others_nearest_within_reach() -> None:
    points0 = np.array([[0, 0], [1, 0], [50, 0], [90, 0]])
    points1 = np.array([[52, 0], [0.9, 0], [100, 0]])
    first, second = mutually_nearest(points0, points1, within=5)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 1), (2, 0)]


@pytest.mark.parametrize(("points0", "points1"), [(NOTHING, np.ones((2, 2))), (np.ones((2, 2)), NOTHING)])
def test_nothing_is_nearest_to_nothing(points0: np.ndarray, points1: np.ndarray) -> None:
    assert [part.shape for part in mutually_nearest(points0, points1, 5)] == [(0,), (0,)]
