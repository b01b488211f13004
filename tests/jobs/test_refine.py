"""Refinement of a collection: images of one texture under known warps, keypoints of known error."""

from __future__ import annotations

import errno
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from xfeat_cli.config import RefineConfig
from xfeat_cli.errors import ProvenanceError, StoreError, UsageError
from xfeat_cli.jobs import adjustment, registration
from xfeat_cli.jobs.progress import Report
from xfeat_cli.jobs.refine import refine
from xfeat_cli.store.layout import FEATURES, MATCHES, features_entry, matches_entry
from xfeat_cli.store.names import pair_name
from xfeat_cli.store.reader import KeypointsReader, LinksReader, MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, Matches

from .. import hloc_reader
from ..refinement.texture import Texture

SIZE = (320, 240)
NAMES = ("a.png", "b.png", "c.png", "far/d.png")
WARPS = {
    "a.png": (np.eye(2), np.zeros(2)),
    "b.png": (np.array([[0.98, -0.17], [0.17, 0.98]]), np.array([20.3, -25.6])),
    "c.png": (np.array([[0.9, 0.05], [0.02, 0.95]]), np.array([11.4, 3.7])),
    "far/d.png": (np.eye(2), np.array([4.25, -3.5])),
}
NOISE = 0.3
UNRELATED = "far/d.png"
"""Its keypoints are matched at random, except with c.png."""


def true_points() -> dict[str, np.ndarray]:
    points = np.random.default_rng(5).uniform(25, np.array(SIZE) - 26, (220, 2))
    return {name: points @ matrix.T + shift for name, (matrix, shift) in WARPS.items()}


def write_features(path: Path, names: tuple[str, ...] = NAMES) -> None:
    with Store.open(path, FEATURES, {"weights": "none"}) as store:
        for number, name in enumerate(NAMES):
            if name not in names:
                continue
            rng = np.random.default_rng(number)
            points = true_points()[name] + rng.normal(0, NOISE, (220, 2))
            features = Features(
                points.astype(np.float32),
                np.linspace(1, 0.5, 220).astype(np.float32),
                rng.normal(size=(220, 8)).astype(np.float32),
                SIZE,
            )
            store.put(name, features_entry(features), {}, {"keypoints": {"uncertainty": 1.0}})
        store.finish()


def write_matches(path: Path, pairs: list[tuple[str, str]]) -> None:
    with Store.open(path, MATCHES, {"ratio": 1.0}) as store:
        for one, two in pairs:
            second = np.arange(220, dtype=np.int32)
            if UNRELATED in (one, two) and "c.png" not in (one, two):
                second = np.random.default_rng(9).permutation(second)
            indices = np.column_stack([np.arange(220, dtype=np.int32), second])
            store.put(pair_name(one, two), matches_entry(Matches(indices, np.ones(220, np.float32)), 220))
        store.finish()


PAIRS = [("a.png", "b.png"), ("a.png", "c.png"), ("b.png", "c.png"), ("a.png", UNRELATED), ("c.png", UNRELATED)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refine")
    texture = Texture(4)
    for name in NAMES:
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.clip(texture.image(SIZE, *WARPS[name]) * 255, 0, 255).round().astype(np.uint8))
    write_features(folder / "f.h5")
    write_matches(folder / "m.h5", PAIRS)
    return folder


def run(scene: Path, folder: Path, **options: object):  # type: ignore[no-untyped-def]
    return refine(scene / "f.h5", scene / "m.h5", scene / "images", folder / "r.h5", folder / "rm.h5", **options)


def contents(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path) as h5:
        h5.visititems(lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {}))
    return found


def disagreement(folder: Path, one: str, two: str) -> np.ndarray:
    """How far the matches of a pair are from the true warp between them, (M, 2) px."""
    with KeypointsReader(folder / "r.h5") as keypoints, MatchesReader(folder / "rm.h5") as matches:
        found = matches.load(one, two)
        assert isinstance(found, Matches)
        points = [
            keypoints.load(name).keypoints[index] for name, index in zip((one, two), found.indices.T, strict=True)
        ]
    (matrix0, shift0), (matrix1, shift1) = WARPS[one], WARPS[two]
    return (points[0] - shift0) @ np.linalg.inv(matrix0).T @ matrix1.T + shift1 - points[1]


def test_all_pairs_share_keypoints_that_are_exact(scene: Path, tmp_path: Path) -> None:
    summary = run(scene, tmp_path)
    assert (summary.done, summary.pairs, summary.failures) == (5, 5, [])
    assert summary.refined_pairs == 4
    for one, two in (PAIRS[0], PAIRS[1], PAIRS[2], PAIRS[4]):
        error = disagreement(tmp_path, one, two)
        assert len(error) > 150
        assert np.median(np.abs(error)) < 0.02
        assert np.abs(error.mean(0)).max() < 0.01


def test_a_pair_that_cannot_be_registered_keeps_all_its_matches_unmoved(scene: Path, tmp_path: Path) -> None:
    run(scene, tmp_path)
    with (
        KeypointsReader(scene / "f.h5") as before,
        KeypointsReader(tmp_path / "r.h5") as after,
        MatchesReader(scene / "m.h5") as given,
        MatchesReader(tmp_path / "rm.h5") as matches,
    ):
        expected, kept = given.load("a.png", UNRELATED), matches.load("a.png", UNRELATED)
        assert isinstance(expected, Matches)
        assert isinstance(kept, Matches)
        old, new = (
            [
                reader.load(name).keypoints[index]
                for name, index in zip(("a.png", UNRELATED), found.indices.T, strict=True)
            ]
            for reader, found in ((before, expected), (after, kept))
        )
        assert sorted(np.hstack(new).tolist()) == sorted(np.hstack(old).tolist())
        moved = (after.load("a.png").keypoints[:220] != before.load("a.png").keypoints).any(1)
        assert after.count("a.png") == 220 + moved.sum()
        assert after.count("b.png") == 220
        assert matches.entry_attributes(pair_name("a.png", UNRELATED))["refined"] == 0


def test_a_pair_that_alone_connects_its_images_shares_their_keypoints(scene: Path, tmp_path: Path) -> None:
    write_matches(tmp_path / "m.h5", PAIRS[:4])
    made = tmp_path / "r.h5", tmp_path / "rm.h5"
    assert refine(scene / "f.h5", tmp_path / "m.h5", scene / "images", *made).refined_pairs == 3
    with KeypointsReader(made[0]) as keypoints, MatchesReader(made[1]) as matches:
        assert [keypoints.count(name) for name in NAMES] == [220] * 4
        assert len(matches.load("a.png", UNRELATED)) == 220


def test_uncertainties_and_sigmas(scene: Path, tmp_path: Path) -> None:
    run(scene, tmp_path)
    with KeypointsReader(tmp_path / "r.h5") as keypoints, MatchesReader(tmp_path / "rm.h5") as matches:
        for name in NAMES:
            uncertainty = keypoints.uncertainties(name)
            assert uncertainty is not None
            assert uncertainty.shape == (keypoints.count(name),)
            assert (uncertainty > 0).all()
        for pair in (("a.png", "b.png"), ("b.png", "a.png")):
            found, sigmas = matches.load(*pair), matches.sigmas(*pair)
            assert isinstance(found, Matches)
            assert sigmas is not None
            one, two = (keypoints.uncertainties(name) for name in pair)
            assert one is not None
            assert two is not None
            first, second = found.indices.T
            np.testing.assert_allclose(sigmas, np.sqrt((one[first] ** 2 + two[second] ** 2) / 2), rtol=1e-4)
        assert np.median(keypoints.uncertainties("a.png")[:220]) < 0.15  # type: ignore[index]


def test_hloc_reads_the_files(scene: Path, tmp_path: Path) -> None:
    run(scene, tmp_path)
    assert hloc_reader.image_names(tmp_path / "r.h5") == {*NAMES}
    for name in NAMES:
        tensors = hloc_reader.tensors(tmp_path / "r.h5", name)
        points, uncertainty = hloc_reader.keypoints(tmp_path / "r.h5", name)
        assert uncertainty == 1.0
        assert len(tensors["uncertainty"]) == len(tensors["scores"]) == len(points)
    for one, two in PAIRS:
        indices, scores = hloc_reader.matches(tmp_path / "rm.h5", two, one)
        assert len(indices) == len(scores) > 100


def test_more_pairs_register_only_the_new_ones(scene: Path, tmp_path: Path) -> None:
    write_matches(tmp_path / "m.h5", PAIRS[:2])
    paths = scene / "f.h5", tmp_path / "m.h5", scene / "images", tmp_path / "r.h5", tmp_path / "rm.h5"
    assert refine(*paths, links=tmp_path / "l.h5").done == 2
    again = refine(*paths, links=tmp_path / "l.h5")
    assert (again.done, again.skipped) == (0, 2)
    (tmp_path / "m.h5").unlink()
    write_matches(tmp_path / "m.h5", PAIRS)
    more = refine(*paths, links=tmp_path / "l.h5")
    assert (more.done, more.skipped, more.pairs) == (3, 2, 5)
    whole = tmp_path / "whole"
    whole.mkdir()
    run(scene, whole)
    assert contents(tmp_path / "rm.h5") == contents(whole / "rm.h5")
    assert contents(tmp_path / "r.h5") == contents(whole / "r.h5")
    assert not [path.name for path in whole.iterdir() if path.suffix == ".links" or "scratch" in path.name]


def test_an_interrupted_run_goes_on(scene: Path, tmp_path: Path) -> None:
    class Interrupt:
        def start(self, total: int) -> None:
            pass

        def update(self, report: Report) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scene, tmp_path, listener=Interrupt(), workers=1)
    assert not (tmp_path / "rm.h5").exists()
    summary = run(scene, tmp_path)
    assert summary.skipped >= 1
    assert summary.done + summary.skipped == 5
    run(scene, (whole := tmp_path / "whole"))
    assert contents(tmp_path / "rm.h5") == contents(whole / "rm.h5")


def test_neither_workers_nor_parts_change_anything(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(scene, tmp_path / "one", workers=1)
    run(scene, tmp_path / "three", workers=3)
    assert contents(tmp_path / "one" / "rm.h5") == contents(tmp_path / "three" / "rm.h5")
    assert contents(tmp_path / "one" / "r.h5") == contents(tmp_path / "three" / "r.h5")
    monkeypatch.setattr(adjustment, "MOST_LINKS", 100)
    monkeypatch.setattr(registration, "_CACHE_BYTES", 1)
    run(scene, tmp_path / "parts", workers=2)
    with KeypointsReader(tmp_path / "one" / "r.h5") as one, KeypointsReader(tmp_path / "parts" / "r.h5") as parts:
        for name in NAMES:
            apart = np.abs(parts.load(name).keypoints[:220] - one.load(name).keypoints[:220])
            assert np.median(apart) < 1e-3
            assert apart.max() < 0.02


def test_other_options_are_refused_and_other_files_left_alone(scene: Path, tmp_path: Path) -> None:
    run(scene, tmp_path)
    with pytest.raises(ProvenanceError, match="least_refined 50, now 20"):
        run(scene, tmp_path, least_refined=20)
    assert run(scene, tmp_path, least_refined=20, overwrite=True).done == 5
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as h5:
        h5["a.png/keypoints"] = np.zeros((3, 2), np.float32)
    with pytest.raises(ProvenanceError, match="not made by xfeat"):
        refine(scene / "f.h5", scene / "m.h5", scene / "images", foreign, tmp_path / "rm2.h5")
    with pytest.raises(UsageError, match="input"):
        refine(scene / "f.h5", scene / "m.h5", scene / "images", scene / "f.h5", tmp_path / "rm3.h5")
    with pytest.raises(UsageError, match="not a folder"):
        refine(scene / "f.h5", scene / "m.h5", scene / "none", tmp_path / "x.h5", tmp_path / "y.h5")
    with pytest.raises(StoreError, match="does not exist"):
        refine(tmp_path / "none.h5", scene / "m.h5", scene / "images", tmp_path / "x.h5", tmp_path / "y.h5")
    assert not (tmp_path / "x.h5").exists()


def test_a_photograph_that_cannot_be_read_costs_no_match(scene: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in NAMES[:3]:
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes((scene / "images" / name).read_bytes())
    (images / "c.png").write_bytes(b"no image")
    summary = refine(scene / "f.h5", scene / "m.h5", images, tmp_path / "r.h5", tmp_path / "rm.h5")
    assert summary.done == 1
    assert sorted(name for name, _ in summary.failures) == sorted(" ".join(pair) for pair in PAIRS if pair != PAIRS[0])
    with MatchesReader(tmp_path / "rm.h5") as matches:
        assert len(matches.load("a.png", "c.png")) == 220
    (images / "a.png").write_bytes(b"")
    nothing = refine(scene / "f.h5", scene / "m.h5", images, tmp_path / "n.h5", tmp_path / "nm.h5")
    assert nothing.nothing_done
    assert not [*tmp_path.glob("n*.h5*")]


def test_links_can_be_read_back(scene: Path, tmp_path: Path) -> None:
    run(scene, tmp_path, links=tmp_path / "l.h5")
    with LinksReader(tmp_path / "l.h5") as links:
        found = links.load("a.png/b.png")
    error = (
        found.shifts
        - (
            (true_points()["b.png"] - _given("b.png"))
            - (true_points()["a.png"] - _given("a.png")) @ WARPS["b.png"][0].T
        )[found.indices[:, 0]]
    )
    assert np.median(np.abs(error)) < 0.03
    assert np.abs(found.affines - WARPS["b.png"][0]).max() < 0.3


def _given(name: str) -> np.ndarray:
    rng = np.random.default_rng(NAMES.index(name))
    return true_points()[name] + rng.normal(0, NOISE, (220, 2))


def test_a_disk_that_fills_up_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Nothing:
        def names(self) -> list[str]:
            return []

    monkeypatch.setattr(adjustment, "_mapped", full)
    with pytest.raises(StoreError, match=r"cannot write .*: No space left on device; .*make room"):
        adjustment.adjust({}, Nothing(), Nothing(), tmp_path, RefineConfig())
