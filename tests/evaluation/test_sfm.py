"""Errors of a model against true cameras, with exact answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.evaluation.sfm import align, pose_errors, score_model


def _rotation(degrees: float, axis: int) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    block = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    block[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return block


def _poses(count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(4)
    rotations = [_rotation(a, 0) @ _rotation(b, 1) for a, b in rng.uniform(-60, 60, (count, 2))]
    return np.stack([np.column_stack([R, t]) for R, t in zip(rotations, rng.normal(size=(count, 3)), strict=True)])


def _moved(poses: np.ndarray, scale: float, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The same cameras in a world moved by x ↦ scale · R x + t."""
    rotations = poses[:, :, :3] @ R.T
    centres = -np.einsum("nij,ni->nj", poses[:, :, :3], poses[:, :, 3])
    moved = scale * centres @ R.T + t
    return np.concatenate([rotations, -np.einsum("nij,nj->ni", rotations, moved)[:, :, None]], axis=2)


def test_a_similarity_changes_nothing() -> None:
    poses = _poses()
    other = _moved(poses, 3.7, _rotation(40, 2) @ _rotation(-70, 0), np.array([5.0, -2, 1]))
    rotation, position = pose_errors(other, poses)
    np.testing.assert_allclose(rotation, 0, atol=1e-6)
    np.testing.assert_allclose(position, 0, atol=1e-9)


def test_alignment_never_mirrors() -> None:
    points = np.random.default_rng(0).normal(size=(8, 3))
    assert np.linalg.det(align(points * [1, 1, -1], points).rotation) == pytest.approx(1)


def test_a_turned_camera_is_off_by_its_angle() -> None:
    poses = _poses()
    other = poses.copy()
    other[2] = _rotation(2, 1) @ other[2]
    rotation, position = pose_errors(other, poses)
    np.testing.assert_allclose(rotation, [0, 0, 2, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(position, 0, atol=1e-9)


def test_bad_input_is_named(tmp_path: Path) -> None:
    cameras = tmp_path / "cameras.json"
    with pytest.raises(UsageError, match="cannot be read"):
        score_model(tmp_path, cameras)
    cameras.write_text(json.dumps({"a.jpg": {"R": [1, 2]}}))
    with pytest.raises(UsageError, match=r"not a cameras\.json"):
        score_model(tmp_path, cameras)
    cameras.write_text("{}")
    with pytest.raises(SfmError, match="no COLMAP model"):
        score_model(tmp_path, cameras)
