"""The least-squares problem, on graphs whose solution is known."""

from __future__ import annotations

import numpy as np

from xfeat_cli.refinement.solve import PRIOR, Problem, solve
from xfeat_cli.types import Links


def problem(
    shifts: np.ndarray, ends: list[tuple[int, int]], affines: np.ndarray | None = None, sigma: float = 0.01
) -> Problem:
    """Exact links between keypoints that ought to move by `shifts` (N, 2)."""
    pairs = np.array(ends)
    a = np.tile(np.eye(2), (len(pairs), 1, 1)) if affines is None else affines
    wanted = shifts[pairs[:, 1]] - (a @ shifts[pairs[:, 0], :, None])[..., 0]
    information = np.tile([1 / sigma**2, 0, 1 / sigma**2], (len(pairs), 1))
    links = Links(
        pairs.astype(np.int32), a.astype(np.float32), wanted.astype(np.float32), information.astype(np.float32)
    )
    return Problem(len(shifts), pairs[:, 0], pairs[:, 1], links)


def test_two_keypoints_share_what_a_link_says() -> None:
    solution = solve(problem(np.array([[0.2, 0.1], [-0.2, -0.1]]), [(0, 1)]))
    np.testing.assert_allclose(solution.shifts, [[0.2, 0.1], [-0.2, -0.1]], atol=1e-4)
    np.testing.assert_allclose(solution.residuals, 0, atol=1e-4)
    np.testing.assert_allclose(solution.precision, 1e4, rtol=1e-3)


def test_a_track_without_common_motion_is_found_exactly() -> None:
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, 0.2, (8, 2))
    shifts -= shifts.mean(0)
    ends = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    solution = solve(problem(shifts, ends))
    np.testing.assert_allclose(solution.shifts, shifts, atol=1e-4)


def test_affines_are_heeded() -> None:
    rng = np.random.default_rng(1)
    ends = [(0, 1), (1, 2), (0, 2), (2, 3), (1, 3)]
    of_images = np.eye(2) + rng.uniform(-0.2, 0.2, (4, 2, 2))
    affines = np.array([of_images[j] @ np.linalg.inv(of_images[i]) for i, j in ends])
    moved = problem(rng.normal(0, 0.3, (4, 2)), ends, affines)
    solution = solve(moved)
    assert solution.residuals.max() < 1e-3
    assert np.abs(solution.shifts).max() < 1.5


def test_a_wrong_link_is_outvoted() -> None:
    rng = np.random.default_rng(2)
    shifts = rng.normal(0, 0.1, (6, 2))
    shifts -= shifts.mean(0)
    ends = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    wrong = problem(shifts, ends)
    wrong.links.shifts[3] += [1.2, -0.9]
    solution = solve(wrong)
    np.testing.assert_allclose(solution.shifts, shifts, atol=0.01)
    assert solution.residuals[3] > 1.3
    assert np.delete(solution.residuals, 3).max() < 0.02


def test_a_keypoint_without_links_stays_and_has_no_precision() -> None:
    solution = solve(problem(np.array([[0.1, 0], [-0.1, 0], [9, 9]]), [(0, 1)]))
    assert solution.precision[2] == 0
    assert (solution.shifts[2] == 0).all()


def test_a_weak_link_moves_its_ends_less_than_a_sure_one() -> None:
    weak = solve(problem(np.array([[1.0, 0], [-1.0, 0]]), [(0, 1)], sigma=PRIOR))
    assert 0 < weak.shifts[0, 0] < 0.8


def test_groups_that_do_not_touch_are_solved_as_if_alone() -> None:
    rng = np.random.default_rng(3)
    one = problem(rng.normal(0, 0.2, (4, 2)), [(0, 1), (1, 2), (2, 3), (0, 2)])
    two = problem(rng.normal(0, 0.2, (3, 2)), [(0, 1), (1, 2)])
    fields = ("indices", "affines", "shifts", "information")
    links = Links(*(np.concatenate([getattr(one.links, key), getattr(two.links, key)]) for key in fields))
    first, second = np.concatenate([one.first, two.first + 4]), np.concatenate([one.second, two.second + 4])
    expected = np.concatenate([solve(one).shifts, solve(two).shifts])
    np.testing.assert_allclose(solve(Problem(7, first, second, links)).shifts, expected, atol=1e-3)
