"""A folder of small rendered photographs to train on."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from xfeat_cli.demo import arc, build_scene, render_view

SIZE = (240, 176)


@pytest.fixture(scope="session")
def photos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    scene = build_scene(SIZE)
    for number, camera in enumerate(arc(10, SIZE, seed=0)):
        cv2.imwrite(str(folder / f"{number}.png"), render_view(scene, camera)[0][..., ::-1])
    return folder
