from __future__ import annotations

import cv2
import numpy as np

from xfeat_cli.refinement.pose import adjust_pose

K = np.array([[800.0, 0, 320], [0, 810, 240], [0, 0, 1]])
ROTATION = cv2.Rodrigues(np.array([0.05, -0.2, 0.03]))[0]
TRANSLATION = np.array([0.9, 0.1, -0.2]) / np.linalg.norm([0.9, 0.1, -0.2])


def views(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    world = rng.uniform([-2, -1.5, 3], [2, 1.5, 7], (count, 3))
    pixels = [(world @ r.T + t) @ K.T for r, t in ((np.eye(3), np.zeros(3)), (ROTATION, TRANSLATION))]
    return pixels[0][:, :2] / pixels[0][:, 2:], pixels[1][:, :2] / pixels[1][:, 2:]


def error_deg(found: tuple[np.ndarray, np.ndarray]) -> float:
    turn = np.degrees(np.linalg.norm(cv2.Rodrigues(found[0] @ ROTATION.T)[0]))
    return max(turn, np.degrees(np.arccos(np.clip(found[1] @ TRANSLATION, -1, 1))))


def off() -> tuple[np.ndarray, np.ndarray]:
    return cv2.Rodrigues(np.array([0.004, 0.003, -0.002]))[0] @ ROTATION, TRANSLATION + np.array([0, 0.01, 0.015])


def test_exact_matches_give_the_exact_pose() -> None:
    found = adjust_pose(*off(), *views(), (K, K), np.full(300, 0.1))
    assert error_deg(found) < 1e-4
    np.testing.assert_allclose(np.linalg.norm(found[1]), 1)


def test_sure_matches_count_more() -> None:
    one, two = views()
    rng = np.random.default_rng(1)
    sigmas = np.where(np.arange(300) % 3 == 0, 0.02, 1.0)
    errors = []
    for given in (sigmas, np.full(300, 0.7)):
        runs = [two + rng.normal(size=two.shape) * sigmas[:, None] for _ in range(5)]
        errors.append(np.mean([error_deg(adjust_pose(*off(), one, noisy, (K, K), given)) for noisy in runs]))
    assert errors[0] < 0.3 * errors[1]


def test_outliers_do_not_pull() -> None:
    one, two = views()
    two[::5] += np.random.default_rng(2).uniform(1, 4, (60, 2))
    assert error_deg(adjust_pose(*off(), one, two, (K, K), np.full(300, 0.1))) < 0.05
