"""Extraction of a collection: resume, failures, masks, provenance. Plumbing is tested with small photographs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch

from xfeat_cli import ExtractConfig, Features, XFeat, extract
from xfeat_cli.errors import ImageError, LockedError, ProvenanceError, UsageError, WeightsError
from xfeat_cli.images import Photo, find_images, read_photo
from xfeat_cli.jobs import extract as job
from xfeat_cli.jobs.progress import Report, Status, Summary, Tally


class Recorder:
    def __init__(self) -> None:
        self.total = 0
        self.reports: list[Report] = []

    def start(self, total: int) -> None:
        self.total = total

    def update(self, report: Report) -> None:
        self.reports.append(report)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photographs of two sizes, one in a subfolder."""
    folder = tmp_path / "images"
    (folder / "sub dir").mkdir(parents=True)
    for i, (name, size) in enumerate(
        {"a.png": (96, 128), "b.png": (96, 128), "sub dir/ü c.png": (64, 160), "d.png": (96, 128)}.items()
    ):
        noise = np.random.default_rng(i).integers(0, 255, (size[0] // 4, size[1] // 4, 3), np.uint8)
        data = cv2.imencode(".png", cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC))[1]
        (folder / name).write_bytes(data.tobytes())
    return folder


def contents(path: Path) -> dict[str, tuple[np.ndarray, dict[str, object]]]:
    """Every dataset of a file with its parent's attributes."""
    found = {}
    with h5py.File(path) as h5:

        def visit(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = (item[()], dict(item.parent.attrs))

        h5.visititems(visit)
    return found


def same(one: Path, two: Path) -> bool:
    a, b = contents(one), contents(two)
    return a.keys() == b.keys() and all(np.array_equal(a[k][0], b[k][0]) and a[k][1] == b[k][1] for k in a)


def test_every_image_gets_an_entry_with_the_documented_layout(photos: Path, tmp_path: Path) -> None:
    summary = extract(photos, tmp_path / "out.h5", top_k=50)
    assert (summary.total, summary.done, summary.failures) == (4, 4, [])
    with h5py.File(tmp_path / "out.h5") as h5:
        group = h5["sub dir/ü c.png"]
        n = len(group["scores"])
        assert 0 < n <= 50
        assert group["keypoints"].shape == (n, 2)
        assert group["keypoints"].dtype == np.float32
        assert group["keypoints"].attrs["uncertainty"] == 1.0
        assert group["descriptors"].shape == (64, n)
        assert group["descriptors"].dtype == np.float16
        assert group["image_size"][:].tolist() == [160, 64]
        assert (np.diff(group["scores"][:]) <= 0).all()
        np.testing.assert_allclose(np.linalg.norm(group["descriptors"][:].astype(float), axis=0), 1, atol=2e-3)


def test_batch_size_and_workers_do_not_change_the_file(photos: Path, tmp_path: Path) -> None:
    extract(photos, tmp_path / "one.h5", batch_size=1, workers=1)
    extract(photos, tmp_path / "many.h5", batch_size=3, workers=4)
    assert same(tmp_path / "one.h5", tmp_path / "many.h5")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_for_a_gpu_hold_what_workers_on_a_cpu_make(photos: Path, batch_size: int) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    (photos / "e.png").write_bytes((photos / "d.png").read_bytes())
    files, xfeat = find_images(photos), XFeat(device="cpu", batch_size=batch_size, top_k=50)
    found = []
    for detected in (job._detected_by_workers, job._detected_in_batches):
        tally = Tally(Summary("out.h5"), None)
        found.append(
            {
                photo.name: features
                for photo, features in detected(files, [xfeat], partial(read_photo, longest=1200), 2, tally)
            }
        )
        assert [name for name, _ in tally.summary.failures] == ["broken.jpg"]
    alone, in_batches = found
    assert sorted(alone) == sorted(in_batches) == ["a.png", "b.png", "d.png", "e.png", "sub dir/ü c.png"]
    for name, features in alone.items():
        assert np.array_equal(features.keypoints, in_batches[name].keypoints)
        assert np.array_equal(features.descriptors, in_batches[name].descriptors)


# Several devices


class _Gpu(XFeat):
    """A CPU in the part of a GPU, which sees `before` each batch and computes its images one after another."""

    def __init__(self, config: ExtractConfig, device: str, before: Callable[[str, Sequence[Photo]], None]) -> None:
        super().__init__(config, device="cpu")
        self.runtime.device = torch.device(device)
        self.runtime.upload = lambda arrays: torch.from_numpy(np.stack(arrays))  # type: ignore[method-assign]
        self._before = before
        self.batch_size = 3

    def _detect(self, photos: Sequence[Photo]) -> list[Features]:
        self._before(str(self.runtime.device), photos)
        return [features for photo in photos for features in XFeat._detect(self, [photo])]


def _on_gpus(
    monkeypatch: pytest.MonkeyPatch, count: int, before: Callable[[str, Sequence[Photo]], None] = lambda *_: None
) -> None:
    monkeypatch.setattr(job, "resolve_devices", lambda _: tuple(torch.device("cuda", i) for i in range(count)))
    monkeypatch.setattr(job, "XFeat", lambda config, device: _Gpu(config, device, before))


IN_BATCHES = [
    "a.png",
    "b.png",
    "d.png",
    "e0.png",
    "e2.png",
    "e4.png",
    "e1.png",
    "e3.png",
    "e6.png",
    "e5.png",
    "sub dir/ü c.png",
]
"""The order in which `many` are done: threes of one size as they fill up, then what is left."""


@pytest.fixture
def many(photos: Path) -> Path:
    """Twelve photographs of two sizes, of which one cannot be read."""
    for i, name in enumerate(
        ["b.png", "sub dir/ü c.png", "a.png", "sub dir/ü c.png", "b.png", "a.png", "sub dir/ü c.png"]
    ):
        (photos / f"e{i}.png").write_bytes((photos / name).read_bytes())
    (photos / "c broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    return photos


def _order(recorder: Recorder) -> list[str]:
    """Of the images that could be read."""
    return [report.name for report in recorder.reports if report.name != "c broken.jpg"]


@pytest.mark.parametrize("mode", ["sparse", "semi-dense"])
def test_several_devices_make_the_file_of_one(
    many: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(many, tmp_path / "cpu.h5", mode=mode, top_k=50, device="cpu")
    extract(many, tmp_path / "cpus.h5", mode=mode, top_k=50, device="cpu,cpu")
    assert same(tmp_path / "cpu.h5", tmp_path / "cpus.h5")
    for count in (1, 2):
        _on_gpus(monkeypatch, count)
        recorder = Recorder()
        summary = extract(many, tmp_path / f"{count}.h5", mode=mode, top_k=50, listener=recorder)
        assert summary.device == ",".join(f"cuda:{i}" for i in range(count))
        assert (summary.done, [name for name, _ in summary.failures]) == (11, ["c broken.jpg"])
        assert same(tmp_path / "cpu.h5", tmp_path / f"{count}.h5")
        assert _order(recorder) == IN_BATCHES


def test_devices_work_at_once_and_the_one_that_is_free_takes_the_next_batch(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_begun, three_batches_more = threading.Barrier(2), threading.Event()
    seen: dict[str, list[str]] = {"cuda:0": [], "cuda:1": []}

    def before(device: str, photos: Sequence[Photo]) -> None:
        if not seen[device]:
            both_have_begun.wait(20)
        seen[device] += [photo.name for photo in photos]
        if len(seen["cuda:0"]) + len(seen["cuda:1"]) >= 10:
            three_batches_more.set()
        if "a.png" in seen[device]:
            assert three_batches_more.wait(20)

    _on_gpus(monkeypatch, 2, before)
    recorder = Recorder()
    assert extract(many, tmp_path / "out.h5", listener=recorder).done == 11
    slow, fast = sorted(seen.values(), key=lambda names: "a.png" not in names)
    assert slow[:3] == IN_BATCHES[:3]
    assert fast[:7] == IN_BATCHES[3:10]
    assert _order(recorder) == IN_BATCHES


def test_a_device_without_memory_for_its_batch_costs_no_image_and_changes_no_order(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(device: str, photos: Sequence[Photo]) -> None:
        if device == "cuda:0" and len(photos) > 1:
            raise torch.OutOfMemoryError
        if photos[0].name == "b.png":
            raise ImageError("b.png: too odd")

    for count in (1, 2):
        _on_gpus(monkeypatch, count, before)
        recorder = Recorder()
        summary = extract(many, tmp_path / f"{count}.h5", listener=recorder)
        assert sorted(name for name, _ in summary.failures) == ["b.png", "c broken.jpg"]
        assert _order(recorder) == IN_BATCHES
    assert same(tmp_path / "1.h5", tmp_path / "2.h5")


def test_a_run_on_a_gpu_that_is_left_early_leaves_nothing_running(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Recorder):
        def update(self, report: Report) -> None:
            if report.status is Status.OK:
                raise KeyboardInterrupt

    _on_gpus(monkeypatch, 1)
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    with pytest.raises(KeyboardInterrupt) as caught:
        extract(many, tmp_path / "out.h5", listener=Impatient())
    assert caught.traceback  # it holds on to the run's frames, as whoever handles the error does
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("xfeat")]
    assert cv2.getNumThreads() == 2
    cv2.setNumThreads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda:0,cuda:0", "cuda:7", "cpu,cuda:0", "cuda:0,cuda:1", "cpu,", "cpu;cpu"])
def test_devices_that_are_not_there_are_one_clear_line(photos: Path, tmp_path: Path, device: str) -> None:
    with pytest.raises(UsageError, match=r"^device=[^\n]*: [^\n]*$"):
        extract(photos, tmp_path / "out.h5", device=device)
    assert not (tmp_path / "out.h5").exists()


def test_descriptors_are_rounded_as_numpy_does(photos: Path, tmp_path: Path) -> None:
    extract(photos, tmp_path / "out.h5", top_k=50, device="cpu")
    features = XFeat(top_k=50, device="cpu").detect(cv2.imread(str(photos / "a.png")))
    with h5py.File(tmp_path / "out.h5") as h5:
        assert np.array_equal(h5["a.png/descriptors"][:], features.descriptors.T.astype(np.float16))


def test_a_bad_image_is_reported_and_costs_no_other(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    recorder = Recorder()
    summary = extract(photos, tmp_path / "out.h5", listener=recorder)
    assert summary.done == 4
    [(name, reason)] = summary.failures
    assert name == "broken.jpg"
    assert "broken.jpg" in reason
    assert sorted(r.name for r in recorder.reports if r.status is Status.OK) == sorted(
        ["a.png", "b.png", "d.png", "sub dir/ü c.png"]
    )


def test_a_second_run_adds_only_new_images(photos: Path, tmp_path: Path) -> None:
    hidden = photos / "d.png"
    data = hidden.read_bytes()
    hidden.unlink()
    extract(photos, tmp_path / "out.h5")
    hidden.write_bytes(data)
    summary = extract(photos, tmp_path / "out.h5")
    assert (summary.done, summary.skipped) == (1, 3)
    again = extract(photos, tmp_path / "out.h5")
    assert (again.done, again.skipped) == (0, 4)
    assert not (tmp_path / "out.h5.partial").exists()


def test_other_options_are_refused_by_name(photos: Path, tmp_path: Path) -> None:
    extract(photos, tmp_path / "out.h5", top_k=20)
    before = (tmp_path / "out.h5").read_bytes()
    with pytest.raises(ProvenanceError, match=r"top_k 20, now 30.*overwrite=True"):
        extract(photos, tmp_path / "out.h5", top_k=30)
    assert (tmp_path / "out.h5").read_bytes() == before
    assert extract(photos, tmp_path / "out.h5", top_k=30, overwrite=True).done == 4


@pytest.mark.parametrize("rule", ["reduction", "backend"])
def test_a_file_of_an_older_version_that_read_or_computed_otherwise_is_refused(
    photos: Path, tmp_path: Path, rule: str
) -> None:
    extract(photos, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5", "r+") as h5:
        del h5.attrs[f"xfeat_{rule}"]
    with pytest.raises(ProvenanceError, match=f"{rule} unknown, now .*overwrite=True"):
        extract(photos, tmp_path / "out.h5")


def test_auto_goes_on_as_the_file_was_begun(photos: Path, tmp_path: Path) -> None:
    """What is fastest may have been measured otherwise since."""
    extract(photos, tmp_path / "out.h5", image_list=["a.png"], precision="bf16", backend="torch", device="cpu")
    assert extract(photos, tmp_path / "out.h5", device="cpu").done == 3
    with h5py.File(tmp_path / "out.h5") as h5:
        assert (h5.attrs["xfeat_precision"], h5.attrs["xfeat_backend"]) == ("bf16", "torch")
    with pytest.raises(ProvenanceError, match="precision bf16, now fp32"):
        extract(photos, tmp_path / "out.h5", device="cpu", precision="fp32")


def test_auto_does_not_mean_what_cannot_run_here(photos: Path, tmp_path: Path) -> None:
    extract(photos, tmp_path / "out.h5", precision="fp32", backend="torch", device="cpu")
    with h5py.File(tmp_path / "out.h5", "r+") as h5:
        h5.attrs["xfeat_backend"] = "abacus"
    with pytest.raises(ProvenanceError, match="backend abacus, now"):
        extract(photos, tmp_path / "out.h5", device="cpu", precision="fp32")


def test_a_changed_image_is_refused_but_a_touched_one_is_not(photos: Path, tmp_path: Path) -> None:
    extract(photos, tmp_path / "out.h5")
    os.utime(photos / "a.png", (1, 1))
    assert extract(photos, tmp_path / "out.h5").skipped == 4
    (photos / "a.png").write_bytes((photos / "b.png").read_bytes())
    with pytest.raises(ProvenanceError, match=r"a\.png"):
        extract(photos, tmp_path / "out.h5")


def test_two_writers_of_one_output(photos: Path, tmp_path: Path) -> None:
    class Second:
        def start(self, total: int) -> None:
            with pytest.raises(LockedError, match="another process"):
                extract(photos, tmp_path / "out.h5")

        def update(self, report: Report) -> None: ...

    assert extract(photos, tmp_path / "out.h5", listener=Second()).done == 4


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(photos: Path, tmp_path: Path) -> None:
    class Impatient(Recorder):
        def update(self, report: Report) -> None:
            super().update(report)
            if len(self.reports) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(photos, tmp_path / "out.h5", listener=Impatient())
    assert not (tmp_path / "out.h5").exists()
    summary = extract(photos, tmp_path / "out.h5")
    assert (summary.done, summary.skipped) == (2, 2)
    extract(photos, tmp_path / "whole.h5")
    assert same(tmp_path / "out.h5", tmp_path / "whole.h5")


def test_nothing_readable_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("text")
    summary = extract(tmp_path, tmp_path / "out.h5")
    assert summary.nothing_done
    assert not (tmp_path / "out.h5").exists()
    assert not (tmp_path / "out.h5.partial").exists()


def test_masks_hide_keypoints_and_belong_to_the_provenance(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.full((96, 128), 255, np.uint8)
    mask[:, :64] = 0
    cv2.imwrite(str(masks / "a.png.png"), mask)
    extract(photos, tmp_path / "out.h5", masks=masks)
    extract(photos, tmp_path / "plain.h5")
    with h5py.File(tmp_path / "out.h5") as masked, h5py.File(tmp_path / "plain.h5") as plain:
        assert (np.rint(masked["a.png/keypoints"][:, 0]) >= 64).all()
        assert (plain["a.png/keypoints"][:, 0] < 60).any()
        assert np.array_equal(masked["b.png/keypoints"], plain["b.png/keypoints"])
    with pytest.raises(ProvenanceError, match="masks"):
        extract(photos, tmp_path / "out.h5")


def test_a_mask_of_another_size_fails_its_image_only(photos: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png.png"), np.full((10, 10), 255, np.uint8))
    summary = extract(photos, tmp_path / "out.h5", masks=tmp_path)
    assert [name for name, _ in summary.failures] == ["a.png"]
    assert "10x10" in summary.failures[0][1]


def test_image_list(photos: Path, tmp_path: Path) -> None:
    summary = extract(photos, tmp_path / "out.h5", image_list=["# some", "", "b.png", "gone.png"])
    assert summary.done == 1
    assert "gone.png" in summary.failures[0][1]


def test_wrong_usage(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        extract(tmp_path / "nowhere", tmp_path / "out.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images"):
        extract(tmp_path / "empty", tmp_path / "out.h5")
    with pytest.raises(WeightsError, match="nonsense"):
        extract(photos, tmp_path / "out.h5", weights="nonsense")
    with pytest.raises(UsageError, match="masks"):
        extract(photos, tmp_path / "out.h5", masks=tmp_path / "nowhere")
    assert not (tmp_path / "out.h5").exists()
