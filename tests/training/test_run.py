"""Training runs as a user starts them: resumed, refused, interrupted, with bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xfeat_cli.errors import TrainingError, UsageError, XFeatError
from xfeat_cli.evaluation.pose import PoseAccuracy
from xfeat_cli.evaluation.warps import WarpAccuracy
from xfeat_cli.model import weights
from xfeat_cli.model.labels import CENTRE
from xfeat_cli.training import checkpoint, loop, run
from xfeat_cli.training.config import LossWeights, Part, TrainConfig
from xfeat_cli.training.history import CURVES, VALIDATIONS
from xfeat_cli.training.loop import StepReport
from xfeat_cli.training.photos import Photos, load_photos, split_held_out

TINY: dict[str, Any] = {
    "steps": 4,
    "batch": 2,
    "crop": (96, 64),
    "late_crop": (96, 64),
    "points": 20,
    "processes": 1,
    "held_out": 2,
    "device": "cpu",
    "precision": "fp32",
    "checkpoint_every": 1,
}


class Stopping:
    """An observer that keeps what it is told and interrupts after a step."""

    def __init__(self, after: int | None = None) -> None:
        self.after = after
        self.notes: list[str] = []
        self.steps: list[StepReport] = []
        self.validations: list[int] = []
        self.poses: list[PoseAccuracy | None] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, report: StepReport) -> None:
        self.steps.append(report)
        if report.step == self.after:
            raise KeyboardInterrupt

    def validated(self, step: int, accuracy: WarpAccuracy, pose: PoseAccuracy | None) -> None:
        self.validations.append(step)
        self.poses.append(pose)


@pytest.fixture(autouse=True)
def _few_validation_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "VALIDATION_PAIRS", 1)


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return weights.load(str(path)).state


def test_a_run_writes_weights_that_load_and_describe_themselves(photos_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    observer = Stopping()
    result = run.train([photos_folder], out, observer=observer, **TINY)
    assert result.steps == 4
    assert [report.step for report in observer.steps] == [1, 2, 3, 4]
    assert observer.validations == [0, 4]
    loaded = weights.load(str(out))
    assert loaded.info.has_refiner
    assert loaded.info.refiner_labels == CENTRE.name
    assert loaded.info.min_cossim == pytest.approx(result.accuracy.cosine)
    settings = json.loads(loaded.info.metadata["training"])
    assert settings["steps"] == 4
    assert settings["learning_rate"] == 0.02
    folder = tmp_path / "mine.safetensors.training"
    assert not (folder / checkpoint.FILE).exists()
    assert (folder / VALIDATIONS).read_text().count("\n") == 3
    with Image.open(folder / CURVES) as curves:
        assert curves.size[0] > 300


def test_a_resumed_run_equals_one_that_was_not_interrupted(photos_folder: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    run.train([photos_folder], whole, **TINY)
    for after in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run.train([photos_folder], cut, observer=Stopping(after), **TINY)
    going_on = Stopping()
    run.train([photos_folder], cut, observer=going_on, **TINY)
    assert [report.step for report in going_on.steps] == [3, 4]  # step 3 was done, but not yet saved
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(cut)[name]), name


def test_a_run_with_real_pairs_goes_on_as_if_not_interrupted(
    photos_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    whole, cut, without = (tmp_path / f"{name}.safetensors" for name in ("whole", "cut", "without"))
    real: dict[str, Any] = {
        **TINY,
        "steps": 2,
        "multi_view": model_folder,
        "multi_view_images": photos_folder,
        "multi_view_share": 0.6,
    }
    observer = Stopping()
    run.train([photos_folder], whole, observer=observer, **real)
    assert any(f"8 photographs of {model_folder} make 28 real pairs" in note for note in observer.notes)  # 2 held out
    with pytest.raises(KeyboardInterrupt):
        run.train([photos_folder], cut, observer=Stopping(2), **real)
    with pytest.raises(UsageError, match="other multi_view_digest, multi_view_photos, multi_view_share"):
        run.train([photos_folder], cut, **{**TINY, "steps": 2})
    run.train([photos_folder], cut, **real)
    run.train([photos_folder], without, **{**TINY, "steps": 2})
    for name, tensor in tensors(whole).items():
        assert torch.equal(tensor, tensors(cut)[name]), name
    assert any(not torch.equal(tensor, tensors(without)[name]) for name, tensor in tensors(whole).items())
    settings = json.loads(weights.load(str(whole)).info.metadata["training"])
    assert settings["multi_view_photos"] == 8
    assert settings["multi_view_share"] == 0.6


def test_poses_of_a_scene_are_validated_too(photos_folder: Path, scene_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("poselib", reason="poses need the extra [eval]")
    out, observer = tmp_path / "mine.safetensors", Stopping()
    options = {**TINY, "init": "default", "steps": 1}
    result = run.train([photos_folder], out, observer=observer, scene=scene_folder, **options)
    assert result.pose == observer.poses[1]
    first, last = (pose.auc for pose in observer.poses if pose is not None)
    assert 0 < first[-1] < 100
    with open(tmp_path / "mine.safetensors.training" / VALIDATIONS, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["pose_auc_20deg"]) for row in rows] == [first[-1], last[-1]]
    assert "scene" not in json.loads(weights.load(str(out)).info.metadata["training"])


def test_an_incomplete_scene_is_refused_at_once(photos_folder: Path, scene_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("poselib", reason="poses need the extra [eval]")
    (tmp_path / "cameras.json").write_text((scene_folder / "cameras.json").read_text())
    with pytest.raises(XFeatError, match=r"pairs\.txt does not exist"):
        run.train([photos_folder], tmp_path / "out.safetensors", scene=tmp_path, **TINY)
    (tmp_path / "pairs.txt").write_text("0.png 2.png\n")
    with pytest.raises(UsageError, match=r"images/0\.png does not exist; a scene holds"):
        run.train([photos_folder], tmp_path / "out.safetensors", scene=tmp_path, **TINY)


def test_parts_that_are_not_trained_stay_bit_for_bit(photos_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    run.train([photos_folder], out, init="default", parts=(Part.REFINER,), **TINY)
    before, after = tensors(weights.locate("default")), tensors(out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("fine_matcher.") for name in changed)


def test_a_finished_run_and_one_of_other_options_are_not_overwritten(photos_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run.train([photos_folder], out, observer=Stopping(2), **TINY)
    with pytest.raises(UsageError, match="unfinished run of other learning_rate"):
        run.train([photos_folder], out, **{**TINY, "learning_rate": 0.001})
    run.train([photos_folder], out, overwrite=True, **{**TINY, "learning_rate": 0.001})
    with pytest.raises(UsageError, match="exists; overwrite=True"):
        run.train([photos_folder], out, **TINY)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    photos_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mine.safetensors"
    honest = loop.total
    with pytest.raises(KeyboardInterrupt):
        run.train([photos_folder], out, observer=Stopping(2), **TINY)
    monkeypatch.setattr(loop, "total", lambda found, config: honest(found, config) * float("nan"))
    with pytest.raises(TrainingError, match="diverged at step 2; the last checkpoint is kept"):
        run.train([photos_folder], out, **TINY)
    monkeypatch.setattr(loop, "total", honest)
    assert run.train([photos_folder], out, **TINY).steps == 4


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, {"settings": "{}", "steps_done": 7})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        checkpoint.save(tmp_path, {"settings": "{}", "steps_done": 8})
    saved = checkpoint.load(tmp_path)
    assert saved is not None
    assert saved["steps_done"] == 7
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 not a zip"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / checkpoint.FILE).write_bytes(content)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: damaged"):
        checkpoint.load(tmp_path)


def test_unreadable_and_small_photographs_are_left_out_and_named(photos_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    Image.new("L", (300, 100)).save(tmp_path / "flat.png")
    notes: list[str] = []
    photos = load_photos([photos_folder, tmp_path], 230, 100, 0, notes.append)
    assert len(photos) == 10
    assert max(max(photo.shape) for photo in photos.values()) == 230
    assert len(notes) == 2
    assert any("broken.jpg" in note for note in notes)
    assert any("flat.png: its shorter side is below 160 px" in note for note in notes)


def test_too_few_photographs_are_one_clear_error(tmp_path: Path) -> None:
    Image.new("L", (300, 300)).save(tmp_path / "one.png")
    with pytest.raises(UsageError, match=r"1 usable photographs in .*; training needs at least 8"):
        run.train([tmp_path], tmp_path / "out.safetensors", **TINY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (100, 64)}, "multiples of 32"),
        ({"batch": 0}, "batch is 0"),
        ({"learning_rate": 2.0}, "learning_rate"),
        ({"precision": "fp16"}, "bf16 or fp32"),
        ({"parts": ()}, "no part"),
        ({"multi_view": "model"}, "multi_view_images their folders: give both"),
        ({"multi_view_images": "photos"}, "multi_view_images their folders: give both"),
        ({"multi_view": ("a", "b", "c"), "multi_view_images": ("d", "e")}, "2 folders for 3 models and matches"),
        ({"keypoint_target": "symmetric"}, "give init or teachers"),
        ({"parts": (Part.NETWORK,), "losses": LossWeights(descriptor=0, reliability=0)}, "nothing to learn"),
        ({"multi_view": "model", "multi_view_images": "photos", "multi_view_share": 1.0}, "between 0 and 1"),
        ({"multi_view": "model", "multi_view_images": "photos", "parts": (Part.REFINER,)}, "add the part network"),
    ],
)
def test_impossible_options_are_refused(
    photos_folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run.train([photos_folder], tmp_path / "out.safetensors", **{**TINY, **options})


def test_weights_are_written_as_safetensors(photos_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"written as \.safetensors"):
        run.train([photos_folder], tmp_path / "out.pt", **TINY)


def test_held_out_photographs_are_the_same_every_time_and_never_learned() -> None:
    photos = {f"{i:03d}": torch.full((4, 4), i, dtype=torch.uint8) for i in range(50)}
    learned, held_out = split_held_out(photos, 8, seed=3)
    again, _ = split_held_out(dict(reversed(photos.items())), 8, seed=3)
    assert len(held_out) == 8
    assert learned.keys() == again.keys()
    assert not learned.keys() & held_out.keys()
    assert len(split_held_out(photos, 1000, seed=3)[1]) == 10


def test_photographs_in_one_piece_are_themselves() -> None:
    random = np.random.default_rng(0)
    each = [torch.from_numpy(random.integers(0, 255, shape).astype(np.uint8)) for shape in ((3, 5), (7, 2), (4, 4))]
    photos = Photos(each)
    assert len(photos) == 3
    for one, other in zip(each, photos, strict=True):
        assert torch.equal(one, other)
    assert photos.digest() == Photos(each).digest() != Photos(each[::-1]).digest()


@pytest.mark.parametrize(("init", "given", "rate"), [(None, None, 0.02), ("default", None, 0.003), ("a", 0.1, 0.1)])
def test_weights_are_adapted_at_a_lower_learning_rate(init: str | None, given: float | None, rate: float) -> None:
    assert TrainConfig(init=init, learning_rate=given).peak_learning_rate == rate


@pytest.mark.slow
def test_two_processes_train_one_model(photos_folder: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    real = {"multi_view": model_folder, "multi_view_images": photos_folder}
    assert run.train([photos_folder], out, **{**TINY, **real, "processes": 2}).steps == 4
    assert all(tensor.isfinite().all() for tensor in tensors(out).values())


def test_a_symmetric_head_learns_from_one_whose_bias_is_measured(photos_folder: Path, tmp_path: Path) -> None:
    observer, out = Stopping(), tmp_path / "mine.safetensors"
    only = {**TINY, "steps": 2, "parts": (Part.KEYPOINTS,), "losses": LossWeights(localisation=0)}
    run.train([photos_folder], out, observer=observer, init="default", keypoint_target="symmetric", **only)
    [told] = [note for note in observer.notes if "beside what it detects" in note]
    right, down = (float(number) for number in told.split("(")[1].split(")")[0].split(","))
    assert right == pytest.approx(0.48, abs=0.3)
    assert down == pytest.approx(-1.48, abs=0.5)
    before, after = tensors(weights.locate("default")), tensors(out)
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("keypoint_head.") for name in changed)
