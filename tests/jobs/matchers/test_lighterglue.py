"""`match` with LighterGlue, on random weights: provenance, batches, refusals."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from xfeat_cli import match
from xfeat_cli.errors import ProvenanceError, UsageError, WeightsError
from xfeat_cli.jobs.matchers import lighterglue
from xfeat_cli.matching.lighterglue import LighterGlue
from xfeat_cli.store.layout import FEATURES, SEMI_DENSE_FEATURES, features_entry
from xfeat_cli.store.reader import MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features

from ...lighterglue_weights import write_released

pytest.importorskip("kornia", reason="needs the extra [lighterglue]")

NAMES = ("a.png", "b.png", "c.png", "d.png", "few.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images that show the same points in another order each, one of them fewer, and one image that shows none."""
    folder = tmp_path_factory.mktemp("lighterglue")
    rng = np.random.default_rng(0)
    points, descriptors = rng.uniform(0, 300, (80, 2)), rng.normal(size=(80, 64))
    with Store.open(folder / "out.h5", FEATURES, {"weights": "x"}) as store:
        for name in NAMES:
            order = rng.permutation(80)[: 30 if name == "few.png" else 80]
            at, described = points[order].astype(np.float32), descriptors[order].astype(np.float32)
            store.put(name, features_entry(Features(at, np.ones(len(at), np.float32), described, (320, 300))))
        none = Features(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 64), np.float32), (9, 9))
        store.put("none.png", features_entry(none))
        store.finish()
    write_released(folder / "weights.pt")
    names = [*NAMES, "none.png"]
    (folder / "pairs.txt").write_text("".join(f"{a} {b}\n" for i, a in enumerate(names) for b in names[i + 1 :]))
    return folder


def _match(folder: Path, output: Path, **options: object) -> None:
    options = {"matcher": "lighterglue", "weights": str(folder / "weights.pt"), "device": "cpu", **options}
    summary = match(folder / "pairs.txt", folder / "out.h5", output, **options)
    assert (summary.total, summary.done + summary.skipped) == (15, 15)


def test_it_matches_what_is_the_same_and_says_how(folder: Path, tmp_path: Path) -> None:
    _match(folder, tmp_path / "m.h5")
    with h5py.File(folder / "out.h5") as features, MatchesReader(tmp_path / "m.h5") as matches:
        found = matches.load("a.png", "b.png").indices
        one, two = (features[name]["keypoints"][()] for name in ("a.png", "b.png"))
        assert len(found) > 60
        np.testing.assert_array_equal(one[found[:, 0]], two[found[:, 1]])
        assert len(matches.load("a.png", "none.png")) == 0
        assert matches.attributes["xfeat_matcher"] == "lighterglue"
        assert matches.attributes["xfeat_weights"] == "weights"
        assert matches.attributes["xfeat_min_score"] == 0.1
    _match(folder, tmp_path / "m.h5")
    with pytest.raises(ProvenanceError, match=r"min_score 0\.1, now 0\.2"):
        _match(folder, tmp_path / "m.h5", min_score=0.2)
    with pytest.raises(ProvenanceError, match="matcher"):
        match(folder / "pairs.txt", folder / "out.h5", tmp_path / "m.h5", device="cpu")


def test_batches_do_not_show(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = lighterglue.LighterGlue.match

    def spy(self: LighterGlue, pairs: list) -> list:
        calls.append(len(pairs))
        return original(self, pairs)

    monkeypatch.setattr(lighterglue.LighterGlue, "match", spy)
    monkeypatch.setattr("xfeat_cli.matching.lighterglue.PRUNING", -1.0)
    found = {}
    for size in (1, 4):
        monkeypatch.setitem(lighterglue.BATCH_SIZE, "cpu", size)
        _match(folder, tmp_path / f"{size}.h5")
        with h5py.File(tmp_path / f"{size}.h5") as file:
            found[size] = {
                f"{a}/{b}": file[a][b]["matches0"][()].tolist() for a in file for b in file[a] if "none" not in b
            }
    assert found[1] == found[4]
    assert len(found[1]) >= 10
    assert sum(calls) == 30
    assert max(calls) > 2


def test_what_it_cannot_match_is_one_error(folder: Path, tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    dense = Features(np.zeros((1, 2), np.float32), one, np.ones((1, 64), np.float32), (9, 9), scales=one)
    with Store.open(tmp_path / "dense.h5", SEMI_DENSE_FEATURES, {}) as store:
        for name in ("a", "b"):
            store.put(name, features_entry(dense))
        store.finish()
    with pytest.raises(UsageError, match="semi-dense features, which LighterGlue cannot match"):
        match([("a", "b")], tmp_path / "dense.h5", tmp_path / "m.h5", matcher="lighterglue")
    with pytest.raises(UsageError, match="belong to matcher=nearest"):
        _match(folder, tmp_path / "m.h5", ratio=0.9)
    with pytest.raises(UsageError, match="runs in fp32"):
        _match(folder, tmp_path / "m.h5", precision="bf16")
    with pytest.raises(WeightsError, match="a network, not a matcher"):
        _match(folder, tmp_path / "m.h5", weights="default")
    with pytest.raises(UsageError, match="min_score"):
        _match(folder, tmp_path / "m.h5", min_score=1.5)


def test_features_of_other_networks_are_reported_by_pair(folder: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "hloc.h5", "w") as file:
        for name in ("a", "b"):
            group = file.create_group(name)
            group["keypoints"], group["scores"] = np.zeros((2, 2), np.float32), np.ones(2, np.float32)
            group["descriptors"] = np.ones((128 if name == "a" else 64, 2), np.float16)
            group["image_size"] = np.array([9, 9])
    weights = str(folder / "weights.pt")
    summary = match([("a", "b")], tmp_path / "hloc.h5", tmp_path / "m.h5", matcher="lighterglue", weights=weights)
    assert "have 128 numbers" in summary.failures[0][1]
