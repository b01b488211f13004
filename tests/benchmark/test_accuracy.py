from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli.benchmark.accuracy import agreement
from xfeat_cli.types import Features


def _features(points: list[tuple[float, float]], turned: float = 0.0, scales: list[float] | None = None) -> Features:
    """Descriptors at an angle (radians) to the first axis."""
    count = len(points)
    descriptors = np.tile(np.array([np.cos(turned), np.sin(turned)], np.float32), (count, 1))
    return Features(
        np.array(points, np.float32).reshape(count, 2),
        np.ones(count, np.float32),
        descriptors,
        (640, 480),
        None if scales is None else np.array(scales, np.float32),
    )


def test_keypoints_within_half_a_pixel_are_shared() -> None:
    expected = _features([(10, 10), (20, 10), (30, 10), (40, 10)])
    found = _features([(40.4, 10), (10, 10.49), (20, 10.6), (300, 300)], turned=np.pi / 3)
    result = agreement(found, expected)
    assert result.shared == 0.5
    assert result.cosine == pytest.approx(0.5)


def test_a_pixel_is_one_of_the_networks_image() -> None:
    assert agreement(_features([(11, 10)]), _features([(10, 10)]), pixel=2.5).shared == 1
    assert agreement(_features([(11, 10)]), _features([(10, 10)])).shared == 0


def test_cells_of_another_scale_are_others() -> None:
    one, other = _features([(10, 10)], scales=[0.77]), _features([(10, 10)], scales=[1.67])
    assert agreement(one, one).shared == 1
    assert agreement(one, other).shared == 0


def test_nothing_found_is_a_result() -> None:
    nothing, something = _features([]), _features([(1, 1)])
    assert agreement(nothing, nothing).shared == 1
    assert agreement(nothing, something).shared == agreement(something, nothing).shared == 0
