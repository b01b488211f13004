"""Matching of a collection on two shifted crops of one picture, whose true correspondences are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from xfeat_cli import extract, match
from xfeat_cli.errors import PairsError, ProvenanceError, StoreError, UsageError
from xfeat_cli.jobs import match as job
from xfeat_cli.jobs.matchers import nearest as matcher
from xfeat_cli.jobs.progress import Report
from xfeat_cli.matching import nearest
from xfeat_cli.pairing.lists import exhaustive
from xfeat_cli.store.reader import FeaturesReader, MatchesReader
from xfeat_cli.types import Matches, Pair, PointMatches

SHIFT = (24, 16)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three overlapping crops of one blobby picture: b = a moved by SHIFT, c unrelated; with both kinds of features."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "images").mkdir()
    rng = np.random.default_rng(3)
    picture = sum(
        cv2.resize(rng.normal(size=(300 // s, 400 // s)), (400, 300), interpolation=cv2.INTER_CUBIC) for s in (4, 8, 20)
    )
    picture = np.clip(128 + 40 * picture, 0, 255).astype(np.uint8)
    dx, dy = SHIFT
    crops = {"a.png": picture[40:232, 40:296], "b.png": picture[40 + dy : 232 + dy, 40 + dx : 296 + dx]}
    crops["c.png"] = picture[60:252, 100:356][::-1]
    for name, crop in crops.items():
        cv2.imwrite(str(folder / "images" / name), crop)
    extract(folder / "images", folder / "out.h5", top_k=800)
    extract(folder / "images", folder / "dense.h5", mode="semi-dense", top_k=1500)
    (folder / "pairs.txt").write_text("a.png b.png\nb.png c.png\n")
    return folder


def test_sparse_matches_are_right_and_sub_pixel(scene: Path, tmp_path: Path) -> None:
    summary = match(scene / "pairs.txt", scene / "out.h5", tmp_path / "m.h5")
    assert (summary.total, summary.done) == (2, 2)
    with FeaturesReader(scene / "out.h5") as features, MatchesReader(tmp_path / "m.h5") as matches:
        found = matches.load("a.png", "b.png")
        assert isinstance(found, Matches)
        points0 = features.load("a.png").keypoints[found.indices[:, 0]]
        points1 = features.load("b.png").keypoints[found.indices[:, 1]]
    shift = points0 - points1
    right = np.linalg.norm(shift - SHIFT, axis=1) < 1
    assert len(found) > 100
    assert right.mean() > 0.9
    np.testing.assert_allclose(shift[right].mean(0), SHIFT, atol=0.03)


def test_semi_dense_matches_are_right_and_unbiased(scene: Path, tmp_path: Path) -> None:
    match(scene / "pairs.txt", scene / "dense.h5", tmp_path / "m.h5")
    with MatchesReader(tmp_path / "m.h5") as matches:
        found = matches.load("a.png", "b.png")
        assert isinstance(found, PointMatches)
        flipped = matches.load("b.png", "a.png")
    shift = found.points0 - found.points1
    assert len(found) > 200
    assert np.median(np.linalg.norm(shift - SHIFT, axis=1)) < 2
    assert isinstance(flipped, PointMatches)
    assert np.array_equal(flipped.points1, found.points0)


def test_an_image_matched_with_its_copy_shows_no_offset(scene: Path, tmp_path: Path) -> None:
    data = (scene / "images" / "a.png").read_bytes()
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(data)
    extract(tmp_path, tmp_path / "dense.h5", mode="semi-dense", top_k=1000)
    match([("one.png", "two.png")], tmp_path / "dense.h5", tmp_path / "m.h5")
    with MatchesReader(tmp_path / "m.h5") as matches:
        found = matches.load("one.png", "two.png")
    assert isinstance(found, PointMatches)
    assert len(found) > 100
    np.testing.assert_allclose((found.points0 - found.points1).mean(0), 0, atol=0.01)


def test_min_cossim_comes_from_the_weights_and_can_be_changed(scene: Path, tmp_path: Path) -> None:
    features = tmp_path / "strict.h5"
    features.write_bytes((scene / "out.h5").read_bytes())
    with h5py.File(features, "r+") as h5:
        h5.attrs["xfeat_min_cossim"] = 0.95

    def cosines(name: str, **options: float) -> np.ndarray:
        match(scene / "pairs.txt", features, tmp_path / name, **options)
        with MatchesReader(tmp_path / name) as matches:
            return matches.load("a.png", "b.png").scores

    default, none = cosines("default.h5"), cosines("none.h5", min_cossim=-1)
    assert default.min() >= 0.95 - 1e-3
    assert none.min() < 0.94
    assert np.array_equal(default, cosines("given.h5", min_cossim=0.95))
    assert 0 < len(cosines("ratio.h5", min_cossim=-1, ratio=0.8)) < len(none)


def test_resume_and_refusal(scene: Path, tmp_path: Path) -> None:
    match([("a.png", "b.png")], scene / "out.h5", tmp_path / "m.h5")
    summary = match([("b.png", "a.png"), ("b.png", "c.png")], scene / "out.h5", tmp_path / "m.h5")
    assert (summary.done, summary.skipped) == (1, 1)
    with pytest.raises(ProvenanceError, match="min_cossim"):
        match(scene / "pairs.txt", scene / "out.h5", tmp_path / "m.h5", min_cossim=0.5)
    extract(scene / "images", tmp_path / "other.h5", top_k=100)
    with pytest.raises(ProvenanceError, match="features"):
        match(scene / "pairs.txt", tmp_path / "other.h5", tmp_path / "m.h5")


def test_matches_of_an_image_that_changed_are_refused(tmp_path: Path, scene: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        (images / name).write_bytes((scene / "images" / name).read_bytes())
    extract(images, tmp_path / "out.h5")
    match([("a.png", "b.png")], tmp_path / "out.h5", tmp_path / "m.h5")
    (images / "b.png").write_bytes((scene / "images" / "c.png").read_bytes())
    extract(images, tmp_path / "out.h5", overwrite=True)
    with pytest.raises(ProvenanceError, match=r"another version of b\.png"):
        match([("a.png", "b.png")], tmp_path / "out.h5", tmp_path / "m.h5")


def test_an_unknown_name_fails_its_pair_only(scene: Path, tmp_path: Path) -> None:
    summary = match([("a.png", "b.png"), ("a.png", "gone.png")], scene / "out.h5", tmp_path / "m.h5")
    assert summary.done == 1
    [(name, reason)] = summary.failures
    assert name == "a.png gone.png"
    assert "gone.png is not in" in reason
    with pytest.raises(PairsError, match=r"gone\.png"):
        match([("a.png", "gone.png")], scene / "out.h5", tmp_path / "m2.h5")


def test_images_without_keypoints_match_nothing(scene: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((64, 64), 90, np.uint8))
    (tmp_path / "a.png").write_bytes((scene / "images" / "a.png").read_bytes())
    extract(tmp_path, tmp_path / "out.h5")
    assert match([("a.png", "flat.png")], tmp_path / "out.h5", tmp_path / "m.h5").count == 0


def test_colliding_pair_names_fail_their_pairs_only(scene: Path, tmp_path: Path) -> None:
    for name in ("a/b-c.png", "a-b/c.png", "x.png", "y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((scene / "images" / "a.png").read_bytes())
    extract(tmp_path, tmp_path / "out.h5", top_k=50)
    one, two, apart = ("a/b-c.png", "x.png"), ("x.png", "a-b/c.png"), ("x.png", "y.png")
    with pytest.raises(PairsError, match=r"a/b-c\.png x\.png and x\.png a-b/c\.png would be one entry"):
        match([one, two], tmp_path / "out.h5", tmp_path / "m.h5")
    assert not list(tmp_path.glob("m.h5*"))

    match([one], tmp_path / "out.h5", tmp_path / "m.h5")
    summary = match([one, two, apart], tmp_path / "out.h5", tmp_path / "m.h5")
    assert (summary.done, [name for name, _ in summary.failures]) == (1, [" ".join(one), " ".join(two)])
    with MatchesReader(tmp_path / "m.h5") as matches:
        assert matches.names() == ["x.png/y.png"]


def test_wrong_usage(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="xfeat extract"):
        match(scene / "pairs.txt", tmp_path / "none.h5", tmp_path / "m.h5")
    with pytest.raises(PairsError, match="does not exist"):
        match(tmp_path / "none.txt", scene / "out.h5", tmp_path / "m.h5")
    with pytest.raises(UsageError, match="is an input of this command"):
        match(scene / "pairs.txt", scene / "out.h5", scene / "out.h5")
    with pytest.raises(UsageError, match="ratio"):
        match(scene / "pairs.txt", scene / "out.h5", tmp_path / "m.h5", ratio=2)


def _contents(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path) as h5:
        h5.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return found


@pytest.mark.parametrize("features", ["out.h5", "dense.h5"])
def test_the_number_of_workers_changes_nothing(scene: Path, tmp_path: Path, features: str) -> None:
    pairs = list(exhaustive(["a.png", "b.png", "c.png"]))
    order: dict[str, list[str]] = {}
    for devices in ("cpu", "cpu,cpu", "cpu,cpu,cpu,cpu,cpu"):
        reports: list[str] = []
        listener = _Listener(reports)
        match(pairs, scene / features, tmp_path / f"{devices}.h5", device=devices, listener=listener)
        order[devices] = reports
    assert _contents(tmp_path / "cpu.h5") == _contents(tmp_path / "cpu,cpu.h5")
    assert _contents(tmp_path / "cpu.h5") == _contents(tmp_path / "cpu,cpu,cpu,cpu,cpu.h5")
    assert order["cpu"] == order["cpu,cpu"] == order["cpu,cpu,cpu,cpu,cpu"]


class _Listener:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def start(self, total: int) -> None:
        pass

    def update(self, report: Report) -> None:
        self._names.append(report.name)


@pytest.mark.parametrize("at_once", [1, 4])
def test_damaged_features_fail_their_pairs_only(
    scene: Path, tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matcher, "_PAIRS_AT_ONCE", {"cpu": at_once})
    features = tmp_path / "damaged.h5"
    features.write_bytes((scene / "out.h5").read_bytes())
    with h5py.File(features, "r+") as h5:
        h5["b.png/keypoints"][3] = np.nan
    summary = match(list(exhaustive(["a.png", "b.png", "c.png"])), features, tmp_path / "m.h5", device="cpu,cpu")
    assert summary.done == 1
    assert [name for name, _ in summary.failures] == ["a.png b.png", "b.png c.png"]
    assert all("not finite" in reason for _, reason in summary.failures)


@pytest.mark.parametrize("features", ["out.h5", "dense.h5"])
def test_pairs_matched_in_batches_as_on_a_gpu_are_the_same(
    scene: Path, tmp_path: Path, features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = list(exhaustive(["a.png", "b.png", "c.png"]))
    match(pairs, scene / features, tmp_path / "one.h5")
    monkeypatch.setattr(matcher, "_PAIRS_AT_ONCE", {"cpu": 2})
    monkeypatch.setattr(matcher, "nearest_of_pairs", nearest._nearest_in_batches)
    match(pairs, scene / features, tmp_path / "batches.h5")
    with MatchesReader(tmp_path / "one.h5") as one, MatchesReader(tmp_path / "batches.h5") as batches:
        for pair in pairs:
            expected, found = one.load(*pair), batches.load(*pair)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


def test_an_image_is_read_once_for_many_pairs(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i:02}.png" for i in range(20)]
    with h5py.File(tmp_path / "many.h5", "w") as new, h5py.File(scene / "out.h5") as old:
        new.attrs.update(old.attrs)
        for name in names:
            old.copy("a.png", new, name)
            for key in ("keypoints", "scores", "descriptors"):
                kept = new[name][key][..., :20] if key == "descriptors" else new[name][key][:20]
                del new[name][key]
                new[name][key] = kept
    loads: list[str] = []
    load = FeaturesReader.load
    monkeypatch.setattr(FeaturesReader, "load", lambda self, name: loads.append(name) or load(self, name))
    match(exhaustive(names), tmp_path / "many.h5", tmp_path / "m.h5")
    assert sorted(loads) == names

    loads.clear()
    monkeypatch.setattr(matcher, "SHARED_IMAGES", 8)
    monkeypatch.setattr(job, "SHARED_IMAGES", 8)
    summary = match(exhaustive(names), tmp_path / "many.h5", tmp_path / "m2.h5")
    assert summary.done == 190
    assert len(loads) <= 5 * 5 * 8
    assert _contents(tmp_path / "m.h5") == _contents(tmp_path / "m2.h5")


@pytest.mark.parametrize("count", [3, 16, 17, 60])
def test_the_reading_order_holds_every_pair_once(count: int) -> None:
    pairs: list[Pair] = list(exhaustive([str(i) for i in range(count)]))
    ordered = job.in_reading_order(pairs)
    assert sorted(ordered) == sorted(pairs)
    assert ordered == job.in_reading_order(pairs)
    for start in range(0, len(ordered) - 8, 8):
        assert len({name for pair in ordered[start : start + 8] for name in pair}) <= 16
