"""Refinement as a stage of a reconstruction, on the demo scene, whose cameras are known exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xfeat_cli.config import ExtractConfig, MatchConfig, Mode, RefineConfig
from xfeat_cli.demo import DemoScene
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.sfm import score_model
from xfeat_cli.evaluation.uncertainty import score_uncertainty
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.sfm.config import CameraConfig, CameraSharing, MappingConfig, SfmConfig, VerificationConfig

CONFIG = SfmConfig(
    extraction=ExtractConfig(top_k=1500, device="cpu"),
    matching=MatchConfig(device="cpu"),
    cameras=CameraConfig("PINHOLE", CameraSharing.SINGLE),
    verification=VerificationConfig(threads=2),
    mapping=MappingConfig(threads=2),
)


def test_refined_keypoints_make_a_better_model_and_are_reused(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    summary = reconstruct(scene.images, tmp_path, CONFIG)
    assert [stage.name for stage in summary.stages][3] == "refine"
    plain, refined = (
        score_model(folder / "sparse" / "0", scene.cameras_file) for folder in (reconstructed[Mode.SPARSE], tmp_path)
    )
    assert refined.registered == 4
    assert refined.reprojection_px < 0.6 * plain.reprojection_px
    uncertainty = score_uncertainty(tmp_path / "sparse" / "0", tmp_path / "refined.h5")
    assert 0.4 < uncertainty.robust_spread < 2.5
    with pytest.raises(UsageError, match="states no uncertainties"):
        score_uncertainty(tmp_path / "sparse" / "0", tmp_path / "features.h5")

    again = reconstruct(scene.images, tmp_path, CONFIG)
    assert all(stage.reused for stage in again.stages)
    stricter = reconstruct(scene.images, tmp_path, replace(CONFIG, refinement=RefineConfig(least_refined=30)))
    assert "refine" in [stage.name for stage in stricter.stages if not stage.reused]
    without = reconstruct(scene.images, tmp_path, replace(CONFIG, refinement=None))
    assert [stage.name for stage in without.stages if not stage.reused] == ["import", "verify", "reconstruct"]
    assert without.model is not None
    assert without.model.reprojection_px > refined.reprojection_px
