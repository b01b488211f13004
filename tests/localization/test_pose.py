"""Absolute poses with exact answers, and the spread that they claim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.ExifTags import IFD

from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.localization import rotation_of
from xfeat_cli.localization.intrinsics import Source, choose, parse_camera
from xfeat_cli.localization.pose import estimate, quaternion, uncertainty
from xfeat_cli.sfm.model import ModelCamera

pytest.importorskip("poselib", reason="poses need the extra [localize]")

CAMERA = ModelCamera(1, "PINHOLE", (640, 480), {"fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0}, 500.0)
TURN = rotation_of(np.array([0.9, 0.1, -0.3, 0.2]))
SHIFT = np.array([0.3, -0.2, 1.0])


def scene(noise: float = 0.0, seed: int = 0, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a camera at TURN, SHIFT, and the points that they show."""
    rng = np.random.default_rng(seed)
    seen = rng.uniform([-2, -1.5, 3], [2, 1.5, 7], (count, 3))
    pixels = 500 * seen[:, :2] / seen[:, 2:] + (320, 240) + rng.normal(0, 1, (count, 2)) * noise
    return pixels, (seen - SHIFT) @ TURN


def test_true_correspondences_give_the_true_pose() -> None:
    pixels, points = scene()
    wrong = np.random.default_rng(1).uniform(0, 480, (40, 2))
    pose = estimate(np.vstack([pixels, wrong]), np.vstack([points, points[:40]]), CAMERA, 4.0, seed=0)
    assert pose is not None
    np.testing.assert_allclose(pose.rotation, TURN, atol=1e-6)
    np.testing.assert_allclose(pose.translation, SHIFT, atol=1e-5)
    np.testing.assert_allclose(pose.centre, -TURN.T @ SHIFT, atol=1e-5)
    assert pose.inliers[:80].all()
    assert pose.inliers[80:].sum() < 4


def test_too_few_points_are_no_pose() -> None:
    pixels, points = scene(count=3)
    assert estimate(pixels, points, CAMERA, 4.0, seed=0) is None


def test_an_unknown_focal_length_is_found() -> None:
    pixels, points = scene(noise=0.3)
    guessed = replace(CAMERA, model="SIMPLE_PINHOLE", parameters={"f": 768.0, "cx": 320.0, "cy": 240.0}, focal_px=768.0)
    pose = estimate(pixels, points, guessed, 2.0, seed=0, focal_known=False)
    assert pose is not None
    assert pose.camera.focal_px == pytest.approx(500, rel=0.05)
    assert pose.inliers.mean() > 0.9


def test_the_spread_is_what_it_claims() -> None:
    angles, distances, claims = [], [], []
    for seed in range(40):
        pixels, points = scene(noise=1.0, seed=seed)
        pose = estimate(pixels, points, CAMERA, 8.0, seed=0)
        assert pose is not None
        turn = (np.trace(pose.rotation @ TURN.T) - 1) / 2
        angles.append(np.degrees(np.arccos(np.clip(turn, -1, 1))))
        distances.append(np.linalg.norm(pose.centre + TURN.T @ SHIFT))
        claims.append((pose.rotation_std_deg, pose.position_std))
    claimed = np.median(claims, axis=0)
    measured = np.sqrt(np.mean(np.square(angles))), np.sqrt(np.mean(np.square(distances)))
    assert 0.6 < claimed[0] / measured[0] < 1.7
    assert 0.6 < claimed[1] / measured[1] < 1.7


def test_points_that_determine_no_pose() -> None:
    pixels, points = scene(count=80)
    spread = uncertainty(np.tile(points[:1], (5, 1)), np.tile(pixels[:1], (5, 1)), TURN, SHIFT, CAMERA)
    assert spread == (np.inf, np.inf)


@pytest.mark.parametrize("numbers", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0.6, 0.8), (0.5, -0.5, 0.5, -0.5)])
def test_quaternions_there_and_back(numbers: tuple[float, ...]) -> None:
    expected = np.array(numbers, float)
    found = quaternion(rotation_of(expected))
    np.testing.assert_allclose(np.abs(found @ expected), 1, atol=1e-12)
    assert found[0] >= -1e-12


def test_which_camera_it_is() -> None:
    size = (640, 480)
    given, source = choose(size, parse_camera("SIMPLE_RADIAL, 400,320,240,0.1"), [CAMERA])
    assert (given.model, given.focal_px, source) == ("SIMPLE_RADIAL", 400, Source.GIVEN)
    assert list(given.parameters) == ["f", "cx", "cy", "k"]
    assert choose(size, None, [CAMERA]) == (CAMERA, Source.MODEL)
    for cameras in ([CAMERA, replace(CAMERA, number=2)], [replace(CAMERA, size=(480, 640))], []):
        guessed, source = choose(size, None, cameras)
        assert (guessed.focal_px, guessed.parameters["cx"], source) == (768, 320, Source.GUESSED)


@pytest.mark.parametrize("text", ["FISHEYE,1,2,3", "PINHOLE,1,2,3", "PINHOLE,a,b,c,d", "PINHOLE"])
def test_a_camera_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="camera="):
        parse_camera(text)


def test_the_focal_length_of_a_photographs_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 35
    Image.new("RGB", (640, 480)).save(tmp_path / "a.jpg", exif=exif)
    camera, source = choose((640, 480), None, [], tmp_path / "a.jpg")
    assert source is Source.EXIF
    assert camera.focal_px == pytest.approx(640, rel=0.05)
