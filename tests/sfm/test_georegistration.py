"""Models moved to where their photographs were taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.config import Mode
from xfeat_cli.demo import DemoScene
from xfeat_cli.metadata import GeoPosition
from xfeat_cli.sfm.georegistration import NAME, Places, georegister, write_registration
from xfeat_cli.sfm.reconstruction import read_model

pytest.importorskip("pycolmap", reason="models need the extra [sfm]")

ORIGIN = GeoPosition(47.0, 8.0, 400.0)


def _places(scene: DemoScene, scale: float) -> dict[str, tuple[float, float, float]]:
    """True positions, scaled, turned by 90° about x and moved."""
    moved = {name: scale * camera.center[[0, 2, 1]] * [1, -1, 1] + [5, 6, 7] for name, camera in scene.cameras.items()}
    return {name: (float(at[0]), float(at[1]), float(at[2])) for name, at in moved.items()}


def test_a_model_comes_to_lie_where_its_positions_are(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    model = read_model(reconstructed[Mode.SPARSE] / "sparse" / "0")
    points = model.num_points3D()
    places = _places(scene, 1000.0)
    moved = georegister(model, Places(places, ORIGIN))
    assert moved is not None
    assert (moved.problem, moved.images) == ("", 4)
    extent = float(np.linalg.norm(np.ptp([*places.values()], axis=0)))
    assert moved.median <= moved.largest < 0.03 * extent
    for image in model.images.values():
        assert np.linalg.norm(image.projection_center() - places[image.name]) < 0.03 * extent
    assert model.num_points3D() == points
    write_registration(tmp_path, moved)
    written = json.loads((tmp_path / NAME).read_text())
    assert written["origin"]["latitude"] == 47.0
    assert "east, north and up" in written["frame"]


def test_positions_that_cannot_tell_leave_the_model_alone(scene: DemoScene, reconstructed: dict[Mode, Path]) -> None:
    model = read_model(reconstructed[Mode.SPARSE] / "sparse" / "0")
    before = {image.name: image.projection_center().tolist() for image in model.images.values()}
    near = georegister(model, Places(_places(scene, 0.1), ORIGIN))
    line = {name: (100.0 * number, 0.0, 0.0) for number, name in enumerate(sorted(scene.cameras))}
    straight = georegister(model, Places(line, ORIGIN))
    two = georegister(model, Places(dict(list(line.items())[:2]), ORIGIN))
    assert near is not None
    assert straight is not None
    assert "too little for their accuracy" in near.problem
    assert "on a line" in straight.problem
    assert two is None
    assert {image.name: image.projection_center().tolist() for image in model.images.values()} == before
