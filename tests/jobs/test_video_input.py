"""`xfeat sfm` of a video: a camera that moves sideways through the rendered courtyard, 8 frames."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xfeat_cli import video
from xfeat_cli.cli.sfm import command as sfm
from xfeat_cli.demo import build_scene, render_view
from xfeat_cli.demo.views import Camera, intrinsics, look_at
from xfeat_cli.errors import UsageError, VideoError
from xfeat_cli.jobs.frames import extract_frames
from xfeat_cli.jobs.progress import Report
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.jobs.video_input import default_config, photographs_of
from xfeat_cli.pairing.config import PairKind
from xfeat_cli.pairing.lists import read_pairs
from xfeat_cli.sfm.config import CameraSharing, SfmConfig

pytest.importorskip("av", reason="videos need the extra [video]")
pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")

from .test_frames import encode

SIZE = (320, 240)

app = typer.Typer()
app.command()(sfm.sfm)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    scene = build_scene(SIZE)
    views = []
    for number in range(8):
        center = np.array([0.35 * number - 1.4, -8.9, 2.2])
        ahead = look_at(center, center + np.array([0, 8.3, -0.25]), 0.0)
        views.append(render_view(scene, Camera(intrinsics(SIZE), *ahead, SIZE))[0][..., ::-1])
    return views


@pytest.fixture(scope="module")
def clip(pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "clip.mp4", pictures, rate=10)


def _sfm(*arguments: object) -> dict:  # type: ignore[type-arg]
    options = ("--top-k", 800, "--threads", 2, "--no-refine", "--json", "--quiet", "--device", "cpu")
    result = CliRunner().invoke(app, [*map(str, (*arguments, *options))], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


def _made(summary: dict) -> list[str]:  # type: ignore[type-arg]
    return [stage["name"] for stage in summary["stages"] if not stage["reused"]]


def _following(names: list[str]) -> set[tuple[str, str]]:
    """Each with the next two."""
    return {*pairwise(names), *zip(names, names[2:], strict=False)}


def test_a_video_becomes_a_model_and_another_one_is_noticed(
    clip: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary = _sfm(clip, out, "--overlap", 2)
    frames = sorted(path.name for path in (out / "frames").glob("*.jpg"))
    assert _made(summary) == ["frames", "extract", "pairs", "match", "import", "verify", "reconstruct"]
    assert summary["stages"][0]["result"] == {"frames": len(frames)}
    assert len(frames) >= 5
    assert summary["model"]["registered"] == len(frames)
    [group] = summary["stages"][4]["result"]["groups"]
    assert group["why"] == "one camera for each size, as asked"
    assert _following(frames) < {*read_pairs(out / "pairs.txt")}  # those that close loops are there too
    report = json.loads((out / "report" / "report.json").read_text())
    assert report["run"]["images"] == str(out / "frames")

    assert _made(_sfm(clip, out, "--overlap", 2, "--no-report")) == []

    other = encode(tmp_path / "other.mp4", pictures[:6], rate=10)
    summary = _sfm(other, out, "--no-report", "--overlap", 2, "--loop-closure", 0)
    assert summary["notes"][0] == f"{out} was made of {clip}; from now on it is of {other}"
    frames = sorted(path.name for path in (out / "frames").glob("*.jpg"))
    assert all(name.startswith("other_") for name in frames)
    assert {*read_pairs(out / "pairs.txt")} == _following(frames)
    assert summary["model"]["registered"] == len(frames)


def test_an_interrupted_choice_of_frames_goes_on_and_a_changed_video_is_told(
    pictures: list[np.ndarray], tmp_path: Path
) -> None:
    class Interrupting:
        def start(self, total: int) -> None:
            assert total == 1  # second

        def update(self, report: Report) -> None:
            raise KeyboardInterrupt

    clip, out = encode(tmp_path / "clip.mp4", pictures, rate=10), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        reconstruct(clip, out, listeners=lambda stage: Interrupting())
    options = ("--no-report", "--pairs", "sequential", "--overlap", 2)
    assert _sfm(clip, out, *options)["notes"] == []
    frames = sorted(path.name for path in (out / "frames").glob("*.jpg"))
    assert {*read_pairs(out / "pairs.txt")} == _following(frames)
    encode(clip, pictures[:6], rate=10)
    summary = _sfm(clip, out, *options)
    assert "this one before it changed" in summary["notes"][0]
    assert summary["model"]["images"] == len([*(out / "frames").glob("*.jpg")]) < len(frames)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_frames_that_no_run_made_is_left_alone(clip: Path, tmp_path: Path, overwrite: bool) -> None:
    theirs = tmp_path / "frames" / "mine.jpg"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    with pytest.raises(UsageError, match="holds other files than frames"):
        reconstruct(clip, tmp_path, overwrite=overwrite)
    assert [path.read_text() for path in theirs.parent.iterdir()] == ["mine"]


def test_frames_that_someone_chose_otherwise_are_not_replaced_unasked(clip: Path, tmp_path: Path) -> None:
    chosen = extract_frames(clip, tmp_path / "frames", fps=2, device="cpu").frames
    with pytest.raises(UsageError, match="another video or of other options; use overwrite=True"):
        reconstruct(clip, tmp_path)
    assert all((tmp_path / "frames" / frame.name).is_file() for frame in chosen)


def test_what_is_no_video_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "a.mp4").write_text("no video at all" * 99)
    (tmp_path / "notes").write_text("neither")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((240, 320), np.uint8))
    for name in ("a.mp4", "notes"):
        with pytest.raises(VideoError, match=f"{name}: not a video"):
            reconstruct(tmp_path / name, out)
    for name in ("a.png", "none.mp4"):
        with pytest.raises(UsageError, match=f"{name} is not a folder of photographs, nor a video"):
            reconstruct(tmp_path / name, out)
    assert not out.exists()


def test_without_pyav_the_extra_is_named(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"xfeat-cli\[video\]"):
        reconstruct(clip, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_that_suit_the_input(clip: Path, tmp_path: Path) -> None:
    assert default_config(tmp_path) == SfmConfig()
    assert photographs_of(tmp_path, tmp_path / "out") == tmp_path
    config = default_config(clip)
    assert config.pairing.kinds == (PairKind.SEQUENTIAL,)
    assert config.pairing.loop_closure == 20
    assert config.cameras.sharing is CameraSharing.SINGLE
    assert photographs_of(clip, tmp_path / "out") == tmp_path / "out" / "frames"
