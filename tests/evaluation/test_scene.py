"""Poses of a scene measured in memory are those that the commands measure with files."""

from __future__ import annotations

from pathlib import Path

import pytest

from xfeat_cli.config import MatchConfig
from xfeat_cli.demo import render_scene
from xfeat_cli.evaluation.pose import evaluate_poses
from xfeat_cli.evaluation.scene import Scene
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.match import match
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.weights import load

pytest.importorskip("poselib", reason="poses need the extra [eval]")


def test_a_scene_in_memory_is_measured_as_its_files_are(tmp_path: Path) -> None:
    scene = render_scene(tmp_path / "scene", views=3, size=(256, 192))
    features, matches = tmp_path / "out.h5", tmp_path / "matches.h5"
    extract(scene.images, features, device="cpu")
    match(scene.folder / "pairs.txt", features, matches, MatchConfig(min_cossim=-1.0, device="cpu"))
    expected = evaluate_poses(scene.cameras_file, scene.folder / "pairs.txt", matches, features, seeds=2)
    found = Scene(scene.folder).measure(Runtime(load("default"), "cpu"), seeds=2)
    assert expected.matches > 50
    assert (found.pairs, found.matches) == (expected.pairs, expected.matches)
    assert found.auc == pytest.approx(expected.auc, abs=1e-6)
    assert found.precision == pytest.approx(expected.precision, abs=1e-6)
