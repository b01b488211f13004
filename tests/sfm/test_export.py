"""Exports against the projections that the model itself states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.cameras import load_cameras, project
from xfeat_cli.config import Mode
from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.export import ExportTargets, export_model
from xfeat_cli.sfm.model import SparseModel, read_sparse_model


@pytest.fixture(scope="module")
def folder(reconstructed: dict[Mode, Path]) -> Path:
    return reconstructed[Mode.SPARSE] / "sparse" / "0"


@pytest.fixture(scope="module")
def model(folder: Path) -> SparseModel:
    return read_sparse_model(folder)


def _projections(model: SparseModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) that an image sees, and where the model puts them, pixels from the image's corner."""
    image = model.images[number]
    return model.points[image.tracks], image.points + 0.5 - image.residuals


def test_nerfstudio(folder: Path, model: SparseModel, tmp_path: Path) -> None:
    targets = ExportTargets(nerfstudio=tmp_path / "transforms.json", ply=tmp_path / "points.ply")
    assert export_model(folder, targets, tmp_path / "photos") == [tmp_path / "points.ply", tmp_path / "transforms.json"]
    content = json.loads((tmp_path / "transforms.json").read_text())
    assert content["ply_file_path"] == "points.ply"
    assert content["frames"][0]["file_path"] == f"photos/{model.images[0].name}"
    assert len(content["frames"]) == 4
    for number, frame in enumerate(content["frames"]):
        points, expected = _projections(model, number)
        seen = np.linalg.inv(frame["transform_matrix"]) @ np.column_stack([points, np.ones(len(points))]).T
        x, y = seen[0] / -seen[2], -seen[1] / -seen[2]
        found = np.column_stack([content["fl_x"] * x + content["cx"], content["fl_y"] * y + content["cy"]])
        assert found == pytest.approx(expected, abs=1e-2)


def test_bundler(folder: Path, model: SparseModel, tmp_path: Path) -> None:
    export_model(folder, ExportTargets(bundler=tmp_path / "bundle.out"))
    lines = (tmp_path / "bundle.out").read_text().splitlines()
    assert lines[1] == f"4 {len(model.points)}"
    assert (tmp_path / "bundle.out.list.txt").read_text().split() == [image.name for image in model.images]
    cameras = [np.array([[*map(float, line.split())] for line in lines[2 + 5 * n : 7 + 5 * n]]) for n in range(4)]
    place = np.array([*map(float, lines[22].split())])
    views = np.array([*map(float, lines[24].split()[1:])]).reshape(-1, 4)
    assert len(views) == model.track_lengths[0]
    for number, _, x, y in views:
        image = model.images[int(number)]
        (focal, _, _), *rotation, translation = cameras[int(number)]
        at = np.array(rotation) @ place + translation
        assert at[2] < 0
        residual = image.residuals[int(np.flatnonzero(image.tracks == 0)[0])]
        expected = focal * np.array([at[0], -at[1]]) / -at[2] + residual
        assert np.array([x, -y]) == pytest.approx(expected, rel=0.02, abs=0.1)  # fx and fy have become one


def test_cameras_json(folder: Path, model: SparseModel, tmp_path: Path) -> None:
    export_model(folder, ExportTargets(cameras=tmp_path / "cameras.json"))
    cameras = load_cameras(tmp_path / "cameras.json")
    points, expected = _projections(model, 1)
    assert project(points, cameras[model.images[1].name]) == pytest.approx(expected - 0.5, abs=1e-2)


def test_ply(folder: Path, model: SparseModel, tmp_path: Path) -> None:
    export_model(folder, ExportTargets(ply=tmp_path / "p.ply"))
    assert f"element vertex {len(model.points)}".encode() in (tmp_path / "p.ply").read_bytes()[:300]


def test_rerun(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the export needs the extra [rerun]")
    export_model(folder, ExportTargets(rerun=tmp_path / "out.rrd"))
    assert (tmp_path / "out.rrd").read_bytes()[:3] == b"RRF"


def test_what_cannot_be_exported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to export"):
        ExportTargets()
    with pytest.raises(UsageError, match=r"ends in \.ply"):
        ExportTargets(ply=tmp_path / "photo.jpg")
    with pytest.raises(UsageError, match="name of its own"):
        ExportTargets(nerfstudio=tmp_path / "a.json", cameras=tmp_path / "a.json")
    (tmp_path / "list.json").write_text("not json")
    with pytest.raises(UsageError, match="left alone"):
        export_model(folder, ExportTargets(nerfstudio=tmp_path / "list.json"))
