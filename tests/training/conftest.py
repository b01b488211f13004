"""A folder of small rendered photographs to train on, and a COLMAP model of what they show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.cameras import backproject, project, save_cameras
from xfeat_cli.demo import arc, build_scene, render_view

from .text_model import Observations, write_model

SIZE = (240, 176)


@pytest.fixture(scope="session")
def scene_folder(photos_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the photographs with their cameras."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "images").symlink_to(photos_folder)
    save_cameras(folder / "cameras.json", {f"{i}.png": camera for i, camera in enumerate(arc(10, SIZE, seed=0))})
    (folder / "pairs.txt").write_text("0.png 2.png\n")
    return folder


@pytest.fixture(scope="session")
def _rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Observations]:
    """The photographs, and where all of them see points of the first, by the scene's true depth."""
    folder = tmp_path_factory.mktemp("photos")
    scene, cameras = build_scene(SIZE), arc(10, SIZE, seed=0)
    observations: Observations = {}
    points = np.zeros((0, 3))
    for number, camera in enumerate(cameras):
        image, depth = render_view(scene, camera)
        cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
        if number == 0:
            y, x = np.random.default_rng(0).uniform((8, 8), (SIZE[1] - 8, SIZE[0] - 8), (600, 2)).round().T.astype(int)
            x, y = x[depth[y, x] > 0], y[depth[y, x] > 0]
            points = backproject(np.column_stack([x, y]), depth[y, x], camera)
        places = project(points, camera)
        there = places.round().clip(0, np.subtract(SIZE, 1)).astype(int)
        seen_depth = depth[there[:, 1], there[:, 0]]
        own_depth = (points @ camera.R.T + camera.t)[:, 2]
        visible = (np.abs(there - places) <= 0.5).all(1) & (np.abs(seen_depth - own_depth) < 0.02 * own_depth)
        observations[f"{number}.png"] = {int(i) + 1: (*places[i],) for i in np.flatnonzero(visible)}
    return folder, observations


@pytest.fixture(scope="session")
def photos_folder(_rendered: tuple[Path, Observations]) -> Path:
    return _rendered[0]


@pytest.fixture(scope="session")
def model_folder(_rendered: tuple[Path, Observations], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COLMAP model of the photographs."""
    pytest.importorskip("pycolmap", reason="models need the extra [sfm]")
    return write_model(tmp_path_factory.mktemp("model") / "0", SIZE, _rendered[1])
