"""Movements of keypoints under changes that move whole pixels, with exact answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xfeat_cli.evaluation.distances import mutually_nearest
from xfeat_cli.evaluation.mirror import CHANGES, REACH_PX, SHIFTS, Movement, evaluate_mirror, movement, places
from xfeat_cli.xfeat import XFeat

SPOTS = np.array([[5, 9], [30, 8], [17, 25], [41, 33]])
"""x, y"""


def spotted(size: tuple[int, int] = (40, 53)) -> np.ndarray:
    gray = np.zeros(size, np.float32)
    gray[SPOTS[:, 1], SPOTS[:, 0]] = 1
    return gray


def spots(gray: np.ndarray) -> np.ndarray:
    return np.argwhere(gray > 0)[:, ::-1].astype(np.float32)


@pytest.mark.parametrize("name", CHANGES)
def test_points_come_back_to_where_they_were(name: str) -> None:
    change = CHANGES[name]
    gray = spotted()
    back = change.back(spots(change.pixels(gray)), (53, 40))
    assert sorted(back.tolist()) == sorted(SPOTS.tolist())


def test_a_detector_without_bias_does_not_move() -> None:
    for before, after in places(spots, spotted()).values():
        assert sorted(before.tolist()) == sorted(after.tolist())
        assert movement([(before, after)]) == Movement((0, 0), 0, 100)


def test_a_bias_shows_as_it_is_turned() -> None:
    bias = np.float32([0.5, -1.25])
    expected = {
        "mirrored left-right": (-1.0, 0.0),
        "mirrored top-bottom": (0.0, 2.5),
        "turned 180°": (-1.0, 2.5),
        # A quarter turn counter-clockwise takes right to up: turned back, the bias (0.5, -1.25) is (1.25, 0.5).
        "turned 90°": (0.75, 1.75),
        "turned 270°": (-1.75, 0.75),
        **dict.fromkeys(SHIFTS, (0.0, 0.0)),
    }
    for name, both in places(lambda gray: spots(gray) + bias, spotted()).items():
        assert movement([both]) == Movement(expected[name], pytest.approx(np.hypot(*expected[name])), 100), name


def test_keypoints_that_stand_there_by_chance_pull_nowhere() -> None:
    generator = np.random.default_rng(0)
    before = generator.uniform(0, 250, (1000, 2))
    others = generator.uniform(0, 250, (1000, 2))
    after = np.concatenate([before[:800] + np.array([2.5, -1]), others])
    moved = movement([(before, after)])
    assert moved.shift_px == pytest.approx((2.5, -1), abs=0.02)
    one, two = mutually_nearest(before, after, REACH_PX)
    assert np.median(after[two] - before[one], axis=0)[0] < 2.3


def test_what_a_shift_cuts_off_is_not_asked_for() -> None:
    gray = spotted()
    gray[20, 0] = gray[2, 30] = 1
    asked = {name: len(before) for name, (before, _) in places(spots, gray).items()}
    assert [asked[name] for name in SHIFTS] == [5, 6, 4]
    assert asked["turned 180°"] == 6


def test_the_shipped_weights(photograph: np.ndarray) -> None:
    gray = cv2.resize(photograph.mean(2).astype(np.float32) / 255, (320, 235), interpolation=cv2.INTER_LINEAR)
    accuracy = evaluate_mirror(XFeat(precision="fp32", backend="torch"), [gray, gray[:200]])
    assert accuracy.photographs == 2
    assert accuracy.keypoints.keys() == CHANGES.keys()
    assert accuracy.refined.keys() == SHIFTS.keys()
    for name in SHIFTS:
        assert np.abs(accuracy.keypoints[name].shift_px).max() < 0.25
        assert np.abs(accuracy.refined[name].shift_px).max() < 0.6  # over sixteen photographs it is less than 0.2
        assert accuracy.keypoints[name].repeated > 60
    largest = max(abs(axis) for moved in accuracy.keypoints.values() for axis in moved.shift_px)
    assert accuracy.largest_shift_px >= largest
    assert accuracy.bias_px[0] == -accuracy.keypoints["mirrored left-right"].shift_px[0] / 2
    assert accuracy.bias_px[1] == -accuracy.keypoints["mirrored top-bottom"].shift_px[1] / 2


def test_photographs_without_keypoints() -> None:
    accuracy = evaluate_mirror(XFeat(precision="fp32", backend="torch"), [np.full((64, 64), 0.5, np.float32)])
    assert accuracy.keypoints["turned 90°"].repeated == 0
    assert np.isnan(accuracy.largest_shift_px)
