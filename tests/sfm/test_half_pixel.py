"""The self-test that catches half-pixel faults: keypoints in a COLMAP database against exactly known cameras.

The mean residual must vanish, but barely feels a shift that all images share (half a pixel changes it by 0.005 px): the
points give way. The principal point that bundle adjustment finds with the true poses held follows such a shift fully.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfeat_cli.config import ExtractConfig, MatchConfig, Mode
from xfeat_cli.coordinates import to_colmap
from xfeat_cli.demo import Camera, DemoScene, load_cameras, render_scene
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.sfm.config import CameraConfig, CameraSharing, MappingConfig, SfmConfig, VerificationConfig

pycolmap = pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")

CAMERAS = CameraConfig("PINHOLE", CameraSharing.SINGLE)


@dataclass(frozen=True)
class Shift:
    """residual: mean of observation − projection (x, y) px, true cameras held.

    principal_point: (x, y) px by which bundle adjustment moves it when the true poses are held.
    """

    residual: np.ndarray
    principal_point: np.ndarray
    observations: int


@pytest.fixture(scope="module", params=[(480, 320), (640, 448)], ids=["480x320", "640x448"])
def courtyard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    return render_scene(tmp_path_factory.mktemp("courtyard") / "scene", views=6, size=request.param)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(Mode))
def test_true_cameras_see_no_systematic_shift(courtyard: DemoScene, mode: Mode, tmp_path: Path) -> None:
    config = SfmConfig(
        extraction=ExtractConfig(mode=mode, device="cpu"),
        matching=MatchConfig(device="cpu"),
        cameras=CAMERAS,
        verification=VerificationConfig(threads=2),
        mapping=MappingConfig(threads=2),
    )
    reconstruct(courtyard.images, tmp_path / "out", config)
    cameras = load_cameras(courtyard.cameras_file)
    shift = measure_shift(tmp_path / "out" / "database.db", courtyard.images, cameras, tmp_path / "triangulated")
    assert shift.observations > 5000
    assert np.abs(shift.residual).max() < 0.02
    assert np.abs(shift.principal_point).max() < (0.3 if mode is Mode.SPARSE else 0.6)


def measure_shift(database: Path, images: Path, cameras: Mapping[str, Camera], output: Path) -> Shift:
    """Triangulate a verified database with the true cameras and see what is left. One camera took all images."""
    output.mkdir()
    model = pycolmap.triangulate_points(true_model(database, cameras), database, images, output)
    residuals = np.array(
        [
            image.points2D[element.point2D_idx].xy - image.project_point(point.xyz)
            for point in model.points3D.values()
            for element in point.track.elements
            for image in [model.images[element.image_id]]
        ]
    )
    before = model.cameras[1].params[2:4].copy()
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_extra_params = options.refine_rig_from_world = False
    options.refine_principal_point = True
    pycolmap.bundle_adjustment(model, options)
    return Shift(residuals.mean(0), model.cameras[1].params[2:4] - before, len(residuals))


def true_model(database: Path, cameras: Mapping[str, Camera]) -> Any:
    """The true cameras with the numbers that the database gave to images, frames and the one camera."""
    model = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as opened:
        (stored,) = opened.read_all_cameras()
        images, rigs, frames = opened.read_all_images(), opened.read_all_rigs(), opened.read_all_frames()
    K = next(iter(cameras.values())).K
    focal_and_centre = [K[0, 0], K[1, 1], to_colmap(K[0, 2]), to_colmap(K[1, 2])]
    model.add_camera(
        pycolmap.Camera(
            camera_id=stored.camera_id,
            model="PINHOLE",
            width=stored.width,
            height=stored.height,
            params=focal_and_centre,
        )
    )
    for rig in rigs:
        model.add_rig(rig)
    names = {image.image_id: image.name for image in images}
    for frame in frames:
        truth = cameras[names[next(iter(frame.image_ids)).id]]
        frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(truth.R), truth.t)
        model.add_frame(frame)
    for image in images:
        model.add_image(image)
    for frame_id in model.frames:
        model.register_frame(frame_id)
    return model
