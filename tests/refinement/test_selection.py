from __future__ import annotations

import numpy as np

from xfeat_cli.config import RefineConfig
from xfeat_cli.refinement.selection import UNREFINED, judge, select
from xfeat_cli.types import Links, Matches

CONFIG = RefineConfig(least_refined=2, most_residual=0.24, longest_move=1.2)
MATCHES = Matches(np.array([[0, 3], [1, 2], [2, 1], [3, 0]], np.int32), np.array([0.9, 0.8, 0.7, 0.6], np.float32))


def links(rows: list[int], shifts: list[list[float]]) -> Links:
    n = len(rows)
    return Links(
        MATCHES.indices[rows],
        np.tile(np.eye(2, dtype=np.float32), (n, 1, 1)),
        np.array(shifts, np.float32),
        np.ones((n, 3), np.float32),
    )


def test_keypoints_that_moved_too_far_or_have_no_links_stay() -> None:
    keypoints = judge(np.array([[0.3, 0.4], [1.2, 0.5], [0, 0]]), np.array([400.0, 400, 0]), CONFIG)
    assert keypoints.moved.tolist() == [True, False, False]
    assert keypoints.shifts.tolist() == [[0.3, 0.4], [0, 0], [0, 0]]
    assert keypoints.uncertainty[0] < 0.2
    assert (keypoints.uncertainty[1:] == UNREFINED).all()


def test_matches_that_agree_are_kept() -> None:
    zero, sure = np.zeros((4, 2)), np.full(4, 400.0)
    still = judge(zero, sure, CONFIG)
    selection = select(MATCHES, links([0, 1, 3], [[0.1, 0], [0, 0.5], [0, 0]]), still, still, CONFIG)
    assert selection.refined
    assert selection.indices.tolist() == [[0, 3], [3, 0]]
    np.testing.assert_allclose(selection.scores, [0.9, 0.6])


def test_a_pair_of_which_little_agrees_keeps_all() -> None:
    still = judge(np.zeros((4, 2)), np.full(4, 400.0), CONFIG)
    for few in (links([1], [[0, 0]]), Links.empty()):
        selection = select(MATCHES, few, still, still, CONFIG)
        assert not selection.refined
        assert np.array_equal(selection.indices, MATCHES.indices)


def test_links_to_keypoints_that_stay_do_not_count() -> None:
    still = judge(np.zeros((4, 2)), np.full(4, 400.0), CONFIG)
    some = judge(np.zeros((4, 2)), np.array([400.0, 400, 0, 0]), CONFIG)
    selection = select(MATCHES, links([0, 1, 2, 3], [[0, 0]] * 4), still, some, CONFIG)
    assert selection.indices[:, 1].tolist() == [1, 0]
