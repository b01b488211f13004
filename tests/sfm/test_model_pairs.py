"""Pairs from a reconstructed model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.config import Mode
from xfeat_cli.demo import DemoScene
from xfeat_cli.pairing.models import covisible, near_poses
from xfeat_cli.sfm.reconstruction import read_model
from xfeat_cli.sfm.tracks import read_posed

pytest.importorskip("pycolmap", reason="models need the extra [sfm]")


def test_the_nearest_cameras_are_paired(scene: DemoScene, reconstructed: dict[Mode, Path]) -> None:
    model = read_posed(reconstructed[Mode.SPARSE] / "sparse" / "0")
    centres = {name: camera.center for name, camera in scene.cameras.items()}
    pairs = list(near_poses(model, 1, max_angle_deg=180))
    assert {name for pair in pairs for name in pair} == set(centres)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    for name, other in pairs:
        others = {o: np.linalg.norm(centres[name] - centres[o]) for o in centres if o != name}
        assert others[other] < 1.2 * min(others.values())
    assert len(list(near_poses(model, 3, max_angle_deg=180))) == 6
    assert not list(near_poses(model, 3, max_angle_deg=0.001))


def test_images_that_see_common_points_are_paired(reconstructed: dict[Mode, Path]) -> None:
    folder = reconstructed[Mode.SPARSE] / "sparse" / "0"
    model, posed = read_model(folder), read_posed(folder)
    assert len(list(covisible(posed, 3))) == 6
    seen = {
        image.name: {point.point3D_id for point in image.points2D if point.has_point3D()}
        for image in model.images.values()
    }
    for name, other in covisible(posed, 1):
        common = {o: len(seen[name] & seen[o]) for o in seen if o != name}
        assert common[other] == max(common.values())
