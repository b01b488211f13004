"""`report` on the outputs of a real reconstruction, on parts of them, and on what is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xfeat_cli.cli.app import app
from xfeat_cli.config import ExtractConfig, MatchConfig
from xfeat_cli.demo import render_scene
from xfeat_cli.errors import UsageError
from xfeat_cli.jobs.report import ReportSummary, report
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.sfm.config import CameraConfig, CameraSharing, MappingConfig, SfmConfig, VerificationConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/ (five views, and a file that is none) and out/ of `xfeat sfm`."""
    pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")
    folder = tmp_path_factory.mktemp("made")
    render_scene(folder / "scene", views=4, size=(320, 240))
    shutil.move(folder / "scene" / "images", folder / "images")
    (folder / "images" / "zz <b>broken.jpg").write_bytes(b"no image")
    config = SfmConfig(
        extraction=ExtractConfig(top_k=1500, device="cpu"),
        matching=MatchConfig(device="cpu"),
        cameras=CameraConfig("PINHOLE", CameraSharing.SINGLE),
        verification=VerificationConfig(threads=2),
        mapping=MappingConfig(threads=2),
    )
    reconstruct(folder / "images", folder / "out", config)
    return folder


def _reason(summary: ReportSummary, name: str) -> str:
    image = next(image for image in summary.data["images"] if image["name"] == name)
    return str(image["reason"]["text"])


def test_a_folder_of_sfm(made: Path, tmp_path: Path) -> None:
    run = {"options": {"cameras": {"model": "PINHOLE"}}, "stages": [{"name": "map", "seconds": 1.5, "result": {}}]}
    summary = report(made / "out", tmp_path / "page", images=made / "images", run=run)
    assert summary.figures["registered_images"] == 4
    assert summary.figures["images"] == 5
    assert summary.figures["unreadable"] == 1
    assert "not an image" in _reason(summary, "zz <b>broken.jpg")
    assert summary.data["run"]["options"] == run["options"]
    again = report(made / "out", tmp_path / "page")
    assert again.data["run"]["stages"] == run["stages"]
    assert len([*(tmp_path / "page" / "photos").glob("*.jpg")]) == 8
    assert "<b>broken" not in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")


def test_the_photographs_are_found_and_again_by_the_report(made: Path, tmp_path: Path) -> None:
    assert report(made / "out", tmp_path / "page").data["run"]["images"] == str((made / "images").resolve())


def test_a_model_alone(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "out" / "sparse" / "0", tmp_path / "model")
    summary = report(tmp_path / "model")
    full = report(made / "out", tmp_path / "full")
    assert summary.figures["reprojection"] == full.figures["reprojection"]
    assert summary.figures["registered"] == 1
    assert summary.data["pairs"]["verified_by"] == "the 3-D points that both see"
    assert summary.page == str(tmp_path / "model" / "report" / "index.html")


def test_features_and_matches_alone(made: Path, tmp_path: Path) -> None:
    for name in ("features.h5", "matches.h5"):
        shutil.copy(made / "out" / name, tmp_path / name)
    summary = report(tmp_path)
    assert summary.data["verdict"]["headline"] == "Not reconstructed yet"
    assert summary.figures["verified_pairs"] == 6
    assert "MAGSAC" in summary.data["pairs"]["verified_by"]


def test_a_damaged_part_costs_its_part_only(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "out" / "database.db").write_bytes(b"garbage")
    (tmp_path / "out" / "sparse" / "0" / "points3D.bin").write_bytes(b"garbage")
    summary = report(tmp_path / "out", images=made / "images")
    assert len(summary.problems) == 2
    assert summary.figures["models"] == 0
    assert summary.figures["verified_pairs"] == 6


def test_again_replaces_a_report_and_nothing_else(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "page"
    report(made / "out", target, images=made / "images")
    before = {path.name: path.read_bytes() for path in (target / "photos").iterdir()}
    (target / "stray").write_text("of an earlier one")
    report(made / "out", target, images=made / "images")
    assert {path.name: path.read_bytes() for path in (target / "photos").iterdir()} == before
    assert not (target / "stray").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no report"):
        report(made / "out", precious)
    assert (precious / "thesis.txt").read_text() == "mine"


def test_nothing_to_report_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no features"):
        report(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        report(tmp_path / "missing")
    assert [*tmp_path.iterdir()] == []


def test_checks_set_the_exit_code(made: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["report", str(made / "out"), "-o", str(tmp_path / "page"), *arguments])
        return result.exit_code, result.stdout if "--json" in arguments else result.output

    code, output = run("--check", "registered>=0.8", "--check", "reprojection<50")
    assert code == 0
    assert "next: open" in output
    code, output = run("--check", "registered>0.9", "-q")
    assert code == 1
    assert "check registered>0.9: FAILS (registered is 0.8)" in output
    code, output = run("--json", "--check", "models==1")
    assert json.loads(output)["checks"] == {"models==1": True}
    assert json.loads(output)["figures"]["registered_images"] == 4
