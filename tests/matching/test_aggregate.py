"""Merging of semi-dense points into keypoints, with exact answers."""

from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli.matching.aggregate import assign, index_matches, merge_points


def test_points_within_the_radius_become_their_weighted_mean() -> None:
    points = np.array([[10, 10], [11, 10], [50, 20]], np.float32)
    merged = merge_points(points, np.array([3, 1, 0.5], np.float32), radius=2)
    np.testing.assert_allclose(merged.keypoints, [[10.25, 10], [50, 20]])
    np.testing.assert_allclose(merged.scores, [4, 0.5])
    assert assign(merged.keypoints, points, 2).tolist() == [0, 0, 1]


def test_points_across_the_border_of_a_bin_are_merged_too() -> None:
    merged = merge_points(np.array([[3.9, -0.1], [4.1, 0.1]], np.float32), np.ones(2, np.float32), radius=2)
    np.testing.assert_allclose(merged.keypoints, [[4, 0]], atol=1e-6)


def test_no_points_give_no_keypoints() -> None:
    merged = merge_points(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), 1)
    assert merged.keypoints.shape == (0, 2)
    assert assign(merged.keypoints, np.ones((2, 2), np.float32), 1).tolist() == [-1, -1]


def test_scores_of_zero_are_points_all_the_same() -> None:
    merged = merge_points(np.array([[1, 1], [9, 9]], np.float32), np.zeros(2, np.float32), 1)
    assert len(merged.keypoints) == 2


def test_noisy_tracks_are_found_without_bias() -> None:
    rng = np.random.default_rng(0)
    truth = np.stack(np.meshgrid(np.arange(30), np.arange(20)), -1).reshape(-1, 2) * 9.7
    seen = np.repeat(truth, 12, 0)
    points = (seen + rng.normal(scale=0.3, size=seen.shape)).astype(np.float32)
    merged = merge_points(points, rng.uniform(0.3, 1, len(points)).astype(np.float32), radius=2)
    assert len(merged.keypoints) == len(truth)
    error = merged.keypoints[assign(merged.keypoints, points, 2)] - seen
    assert np.abs(error.mean(0)).max() < 0.01
    assert np.abs(error).max() < 0.6


@pytest.mark.parametrize("radius", [0.5, 2.0, 7.0])
def test_every_point_lies_within_the_radius_of_its_keypoint(radius: float) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.5, 200, (5000, 2)).astype(np.float32)
    scores = rng.uniform(0, 1, len(points)).astype(np.float32)
    merged = merge_points(points, scores, radius)
    assignment = assign(merged.keypoints, points, radius)
    found = assignment >= 0
    distance = np.linalg.norm(points[found] - merged.keypoints[assignment[found]], axis=1)
    assert distance.max() < radius + 1e-4
    assert found.mean() > 0.8
    assert np.all(np.diff(merged.scores) <= 0)
    assert np.unique(assignment[found]).size > 0.99 * len(merged.keypoints)


def test_matches_are_one_to_one_and_the_better_score_wins() -> None:
    zero, one = np.array([0, 0, 1, 2, -1], np.int32), np.array([5, 6, 6, 7, 8], np.int32)
    found, kept = index_matches(zero, one, np.array([0.5, 0.9, 0.8, 0.3, 1], np.float32))
    assert kept.tolist() == [1, 3]
    assert found.indices.tolist() == [[0, 6], [2, 7]]
    np.testing.assert_allclose(found.scores, [0.9, 0.3])
    assert found.indices.dtype == np.int32
