"""`xfeat sfm`, `colmap`, `aggregate` and `eval sfm` as typed, without their place in the whole command line."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xfeat_cli.cli import aggregate, colmap, map
from xfeat_cli.cli.evaluate import sfm as eval_sfm
from xfeat_cli.cli.evaluate import sift as eval_sift
from xfeat_cli.cli.sfm import command as sfm
from xfeat_cli.demo import DemoScene, render_scene
from xfeat_cli.errors import SfmError, UsageError

pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")

app = typer.Typer()
app.command("aggregate")(aggregate.aggregate)
app.command("colmap")(colmap.colmap)
app.command("map")(map.map_)
app.command("sfm")(sfm.sfm)
app.command("eval-sfm")(eval_sfm.sfm)
app.command("eval-sift")(eval_sift.sift)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    return render_scene(tmp_path_factory.mktemp("scene") / "courtyard", views=4, size=(320, 240))


def _run(*arguments: object, code: int = 0):  # type: ignore[no-untyped-def]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_semi_dense_from_photographs_to_errors_stage_by_stage_and_at_once(scene: DemoScene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--mode", "semi-dense", "--top-k", 800, "--single-camera", "--device", "cpu", "--threads", 2)
    result = _run("sfm", scene.images, out, *options, "--json", "--quiet")
    summary = json.loads(result.stdout.splitlines()[-1])
    assert [stage["name"] for stage in summary["stages"]] == [
        *("extract", "pairs", "match", "aggregate", "refine", "import", "verify", "reconstruct")
    ]
    assert summary["model"]["registered"] == 4
    assert summary["report"] == str(out / "report" / "index.html")
    figures = json.loads((out / "report" / "report.json").read_text())["figures"]
    assert figures["registered_images"] == 4

    score = json.loads(_run("eval-sfm", out / "sparse" / "0", scene.cameras_file, "--json").stdout)
    assert list(score) == [
        *("registered", "images", "rotation_deg_mean", "position_error_mean"),
        *("points", "mean_track_length", "reprojection_px"),
    ]
    assert "registered" in _run("eval-sfm", out / "sparse" / "0", scene.cameras_file).stdout

    keypoints, indexed = tmp_path / "k.h5", tmp_path / "a.h5"
    files = (out / "matches.h5", "-f", out / "features.h5", "-k", keypoints, "-o", indexed)
    assert "matches kept, moved by" in _run("aggregate", *files).stderr

    imported = (keypoints, indexed, tmp_path / "new.db", "--images", scene.images)
    result = _run("colmap", *imported, "--single-camera", "--filtered-matches", tmp_path / "in.h5", "--json")
    assert json.loads(result.stdout)["verified"]["verified"] == 6
    with pytest.raises(SfmError, match="exists"):
        _run("colmap", *imported)


def test_sift_makes_a_model_to_compare_with(scene: DemoScene, tmp_path: Path) -> None:
    names = sorted(scene.cameras)
    (tmp_path / "pairs.txt").write_text("".join(f"{a} {b}\n" for a, b in pairwise(names)))
    arguments = (scene.images, tmp_path / "out", "--single-camera", "--pairs", tmp_path / "pairs.txt", "--threads", 2)
    summary = json.loads(_run("eval-sift", *arguments, "--json").stdout.splitlines()[-1])
    assert [stage["name"] for stage in summary["stages"]] == ["extract", "match", "verify", "reconstruct"]
    assert summary["stages"][1]["result"]["pairs"] == 3
    assert summary["model"]["registered"] == 4
    score = json.loads(_run("eval-sfm", tmp_path / "out/sparse/0", scene.cameras_file, "--json").stdout)
    assert score["rotation_deg_mean"] < 2
    with pytest.raises(SfmError, match="exists; use overwrite=True"):
        _run("eval-sift", *arguments)
    assert "registered" in _run("eval-sift", *arguments, "--overwrite").stderr


def test_sift_of_what_it_cannot_use_is_one_error(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a b.png", "c.png"):
        cv2.imwrite(str(images / name), np.random.default_rng(0).integers(0, 255, (120, 160), np.uint8))
    with pytest.raises(SfmError, match=r"cannot hold the image name 'a b\.png'"):
        _run("eval-sift", images, tmp_path / "out")
    with pytest.raises(UsageError, match="not a folder"):
        _run("eval-sift", images / "c.png", tmp_path / "out")
    assert not (tmp_path / "out" / "database.db").exists()


def test_a_bad_image_costs_exit_code_1_and_nothing_else(scene: DemoScene, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in list(scene.cameras)[:3]:
        (images / name).write_bytes((scene.images / name).read_bytes())
    (images / "broken.jpg").write_bytes(b"")
    cv2.imwrite(str(images / "plain.png"), np.zeros((240, 320), np.uint8))
    result = _run("sfm", images, tmp_path / "out", "--top-k", 1000, "--single-camera", "--threads", 2, code=1)
    assert "broken.jpg" in result.stderr
    assert "3 of" in result.stderr
    assert result.stderr.splitlines()[-1] == f"next: open {tmp_path / 'out' / 'report' / 'index.html'}"
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    kinds = {image["name"]: image["reason"]["kind"] for image in report["images"] if image["reason"]}
    assert kinds == {"broken.jpg": "unreadable", "plain.png": "few keypoints"}
    assert report["run"]["stages"][0]["name"] == "extract"


def test_a_failed_reconstruction_has_a_report_too(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        cv2.imwrite(str(images / f"{number}.png"), rng.integers(0, 255, (160, 200), np.uint8))
    with pytest.raises(SfmError):
        _run("sfm", images, tmp_path / "out", "--threads", 2)
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["verdict"]["headline"] in ("Nothing was reconstructed", "Not reconstructed yet")
    assert report["figures"]["images"] == 2


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude"):
        _run("sfm", tmp_path, tmp_path / "out", "--single-camera", "--camera-per-folder")


def test_a_photograph_without_a_pose_and_a_database_mapped_by_itself(scene: DemoScene, tmp_path: Path) -> None:
    """What shows nothing is named, with exit code 1; `xfeat map` says the same of the database alone."""
    images = tmp_path / "images"
    images.mkdir()
    for name in scene.cameras:
        (images / name).write_bytes((scene.images / name).read_bytes())
    cv2.imwrite(str(images / "other.png"), np.full((240, 320), 128, np.uint8))
    out = tmp_path / "out"
    options = ("--top-k", 1000, "--threads", 2, "--no-refine", "--no-report", "--pairs", "sequential+retrieval")
    result = _run("sfm", images, out, *options, "--json", "--quiet", code=1)
    summary = json.loads(result.stdout.splitlines()[-1])
    assert [image["name"] for image in summary["model"]["unregistered"]] == ["other.png"]
    assert summary["problems"] == ["other.png has no keypoints; it cannot be reconstructed"]
    (tmp_path / "listed.txt").write_text("\n".join(sorted(scene.cameras)))
    listed = _run("sfm", images, out, *options, "--image-list", tmp_path / "listed.txt", "--json", "--quiet")
    assert json.loads(listed.stdout.splitlines()[-1])["model"]["images"] == 4
    mapped = _run("map", out / "database.db", tmp_path / "models", "--threads", 2, "--json", "--quiet")
    assert json.loads(mapped.stdout.splitlines()[-1])["model"]["registered"] == 4
    assert (tmp_path / "models" / "0" / "cameras.bin").is_file()
    (tmp_path / "theirs" / "0").mkdir(parents=True)
    with pytest.raises(SfmError, match="left alone"):
        _run("map", out / "database.db", tmp_path / "theirs")
    with pytest.raises(SfmError, match="does not exist"):
        _run("map", tmp_path / "none.db", tmp_path / "models")


def test_pairs_are_kinds_or_a_file(scene: DemoScene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="alphabetical: no such file, nor kinds of pairs; those are exhaustive"):
        _run("sfm", scene.images, tmp_path / "out", "--pairs", "sequential+alphabetical")
    names = sorted(scene.cameras)
    (tmp_path / "pairs.txt").write_text("".join(f"{a} {b}\n" for a, b in pairwise(names)))
    options = ("--top-k", 1000, "--threads", 2, "--no-refine", "--no-report", "--camera", "single")
    _run("sfm", scene.images, tmp_path / "out", *options, "--pairs", tmp_path / "pairs.txt", "--quiet")
    assert (tmp_path / "out" / "pairs.txt").read_text() == (tmp_path / "pairs.txt").read_text()
