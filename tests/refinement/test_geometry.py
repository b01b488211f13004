from __future__ import annotations

import numpy as np

from xfeat_cli.refinement.geometry import epipolar_inliers


def two_views(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of random points before two cameras side by side: matches lie in one row."""
    rng = np.random.default_rng(seed)
    x, y, depth = rng.uniform(-1, 1, count), rng.uniform(-1, 1, count), rng.uniform(2, 6, count)
    one = 800 * np.column_stack([x, y]) / depth[:, None] + 400
    two = 800 * np.column_stack([x - 0.5, y]) / depth[:, None] + 400
    return one, two


def test_look_alikes_off_the_epipolar_line_are_told_apart() -> None:
    one, two = two_views(300)
    wrong = np.arange(300) % 3 == 0
    two[wrong] += np.random.default_rng(1).uniform(20, 60, (100, 2))
    inliers = epipolar_inliers(one, two, 2.4)
    assert inliers[~wrong].all()
    assert inliers[wrong].mean() < 0.1
    assert np.array_equal(inliers, epipolar_inliers(one, two, 2.4))


def test_too_few_or_degenerate_points_have_no_geometry() -> None:
    one, two = two_views(7)
    assert not epipolar_inliers(one, two, 2.4).any()
    assert epipolar_inliers(np.zeros((0, 2)), np.zeros((0, 2)), 2.4).shape == (0,)
    same = np.zeros((50, 2))
    assert epipolar_inliers(same, same, 2.4).shape == (50,)
