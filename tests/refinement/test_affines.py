from __future__ import annotations

import numpy as np

from xfeat_cli.refinement.affines import local_affines

AFFINE = np.array([[0.9, 0.2], [-0.3, 1.1]])


def test_an_affine_map_is_found_at_every_point() -> None:
    points = np.random.default_rng(0).uniform(0, 1000, (300, 2))
    found = local_affines(points, points @ AFFINE.T + [5, -8], tolerance=2.0)
    error = np.abs(found - AFFINE).max((1, 2))  # the pull towards the identity
    assert np.median(error) < 0.02
    assert error.max() < 0.15


def test_neighbours_that_disagree_are_outvoted() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 400, (300, 2))
    target = points @ AFFINE.T
    wrong = rng.random(300) < 0.15
    target[wrong] += rng.uniform(20, 40, (wrong.sum(), 2))
    found = local_affines(points, target, tolerance=2.0)[~wrong]
    error = np.abs(found - AFFINE).max((1, 2))
    assert np.median(error) < 0.05
    assert np.mean(error < 0.2) > 0.9


def test_few_or_collinear_points_stay_near_the_identity() -> None:
    line = np.column_stack([np.arange(20.0), np.zeros(20)])
    found = local_affines(line, line + 3, tolerance=2.0)
    np.testing.assert_allclose(found, np.broadcast_to(np.eye(2), found.shape), atol=1e-4)
    three = np.array([[0.0, 0], [10, 0], [0, 10]])
    assert np.isfinite(local_affines(three, three, tolerance=2.0)).all()
    same = np.zeros((15, 2))
    assert np.isfinite(local_affines(same, same, tolerance=2.0)).all()
