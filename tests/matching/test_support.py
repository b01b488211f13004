from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli.matching.support import MOST_MATCHES, support

POINTS = np.random.default_rng(0).uniform(0, 1000, (200, 2)).astype(np.float32)


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points @ np.array([[c, s], [-s, c]])


def test_points_that_moved_together_support_each_other() -> None:
    assert support(POINTS, POINTS) == 200
    assert support(POINTS, POINTS + np.array([300, -5000])) == 200
    assert support(POINTS, _turned(POINTS, 25)) == 200
    assert support(POINTS, POINTS * 1.4) == 200


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_points_that_were_turned_do_not(degrees: float) -> None:
    assert support(POINTS, _turned(POINTS, degrees)) == 0


def test_chance_has_no_support_and_takes_none_away() -> None:
    chance = np.random.default_rng(1).uniform(0, 1000, (200, 2))
    assert support(POINTS, chance) < 10
    mixed = np.where(np.arange(200)[:, None] < 120, POINTS, chance)
    assert 90 <= support(POINTS, mixed) <= 130


def test_a_pattern_that_looks_the_same_turned_has_none() -> None:
    """Windows in rows: each is found again, turned within itself, in another row."""
    window = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 5]], np.float32)
    places = np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2) * 100.0
    elsewhere = np.random.default_rng(2).permutation(places)
    points0 = (places[:, None] + window).reshape(-1, 2)
    points1 = (elsewhere[:, None] + window).reshape(-1, 2)
    assert support(points0, points1) < 0.2 * len(points0)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_few_points_tell_nothing(count: int) -> None:
    assert support(POINTS[:count], POINTS[:count]) == 0


def test_many_points_are_thinned_out() -> None:
    many = np.random.default_rng(3).uniform(0, 1000, (5000, 2))
    assert support(many, many) == MOST_MATCHES


def test_points_in_one_place_are_no_error() -> None:
    assert support(np.zeros((20, 2)), POINTS[:20]) == 0
