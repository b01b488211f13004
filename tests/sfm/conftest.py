"""One small demo scene, reconstructed once sparse and once semi-dense."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfeat_cli.config import ExtractConfig, MatchConfig, Mode
from xfeat_cli.demo import DemoScene, render_scene
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.sfm.config import CameraConfig, CameraSharing, MappingConfig, SfmConfig, VerificationConfig

CAMERAS = CameraConfig("PINHOLE", CameraSharing.SINGLE)
TOP_K = {Mode.SPARSE: 1500, Mode.SEMI_DENSE: 1200}


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    """Four views of the courtyard, 320 x 240."""
    return render_scene(tmp_path_factory.mktemp("scene") / "courtyard", views=4, size=(320, 240))


@pytest.fixture(scope="session")
def reconstructed(scene: DemoScene, tmp_path_factory: pytest.TempPathFactory) -> dict[Mode, Path]:
    """By mode, the output folder of a finished `xfeat sfm` of the scene."""
    pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")
    return {mode: _reconstruct(scene, mode, tmp_path_factory.mktemp(mode.value)) for mode in Mode}


def _reconstruct(scene: DemoScene, mode: Mode, output: Path) -> Path:
    config = SfmConfig(
        extraction=ExtractConfig(mode=mode, top_k=TOP_K[mode], device="cpu"),
        matching=MatchConfig(device="cpu"),
        refinement=None,
        cameras=CAMERAS,
        verification=VerificationConfig(threads=2),
        mapping=MappingConfig(threads=2),
    )
    reconstruct(scene.images, output, config)
    return output
