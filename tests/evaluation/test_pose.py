"""Pose accuracy with exact answers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from xfeat_cli.demo import Camera, project, save_cameras
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation import pose

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


def camera(angle: float, x: float) -> Camera:
    c, s = np.cos(angle), np.sin(angle)
    return Camera(K, np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([x, 0.1, 0.2]), (640, 480))


@pytest.fixture
def views() -> tuple[Camera, Camera, np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).uniform([-2, -1.5, 4], [2, 1.5, 8], (200, 3))
    one, two = camera(0.0, 0.0), camera(0.2, -1.0)
    return one, two, project(points, one), project(points, two)


def test_area_under_recall() -> None:
    assert pose.area_under_recall([0, 0, 0]) == pytest.approx((1,) * 6)
    assert pose.area_under_recall([90, 180]) == (0,) * 6
    # One perfect, one never: recall one half throughout.
    assert pose.area_under_recall([0, 180]) == pytest.approx((0.5,) * 6)
    # Recall rises linearly from 0 to 1 at 10 degrees and stays: half of 10, then all of the other 10 degrees.
    assert pose.area_under_recall([10])[-1] == pytest.approx((0.5 * 10 + 10) / 20)


def test_true_matches_give_the_true_pose(views) -> None:
    one, two, p0, p1 = views
    assert pose.pose_error(p0, p1, one, two) < 0.01
    assert pose.precise_share(p0, p1, one, two) == 1
    assert pose.pose_error(p0[:7], p1[:7], one, two) == 180


def test_a_turned_camera_is_an_error_of_its_angle(views) -> None:
    one, _, p0, p1 = views
    turned = camera(0.2 + np.radians(3), -1.0)
    assert pose.pose_error(p0, p1, one, turned) == pytest.approx(3, abs=0.1)


def test_matches_off_their_line_are_not_precise(views) -> None:
    one, two, p0, p1 = views
    assert pose.precise_share(p0, np.add(p1, (0, 0.3)), one, two) > 0.9
    assert pose.precise_share(p0, np.add(p1, (0, 2.0)), one, two) < 0.1


def test_files_either_way_round(views, tmp_path: Path) -> None:
    one, two, p0, p1 = views
    save_cameras(tmp_path / "cameras.json", {"a.jpg": one, "b.jpg": two, "c.jpg": two})
    (tmp_path / "pairs.txt").write_text("b.jpg a.jpg\na.jpg c.jpg\n")
    with h5py.File(tmp_path / "m.h5", "w") as h5:
        group = h5.create_group("a.jpg/b.jpg")
        group["keypoints0"], group["keypoints1"] = p0.astype(np.float32), p1.astype(np.float32)
        group["scores"] = np.ones(len(p0), np.float32)
    result = pose.evaluate_poses(tmp_path / "cameras.json", tmp_path / "pairs.txt", tmp_path / "m.h5", seeds=2)
    assert (result.pairs, result.matches, result.precision) == (2, 100, 100)
    assert result.auc[-1] == pytest.approx(50, abs=0.5)
    (tmp_path / "pairs.txt").write_text("a.jpg z.jpg\n")
    with pytest.raises(UsageError, match=r"z\.jpg"):
        pose.evaluate_poses(tmp_path / "cameras.json", tmp_path / "pairs.txt", tmp_path / "m.h5")


def test_cameras_that_cannot_be_read_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg\n")
    with pytest.raises(UsageError, match=r"none\.json cannot be read"):
        pose.evaluate_poses(tmp_path / "none.json", tmp_path / "pairs.txt", tmp_path / "m.h5")
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match="not a cameras"):
        pose.evaluate_poses(tmp_path / "bad.json", tmp_path / "pairs.txt", tmp_path / "m.h5")
