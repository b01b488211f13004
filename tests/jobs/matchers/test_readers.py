"""`match` across two features files: the same entries as within one, and nothing mixed up between the files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from xfeat_cli import extract, match
from xfeat_cli.errors import PairsError, ProvenanceError, UsageError
from xfeat_cli.types import Pair

from ...lighterglue_weights import write_released

REFERENCES, QUERIES = ("r0.png", "r1.png"), ("q0.png", "q1.png")
PAIRS: list[Pair] = [(r, q) for r in REFERENCES for q in QUERIES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract four crops of one picture, sparse and semi-dense, and split the files in references R and queries Q."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(5)
    picture = sum(cv2.resize(rng.normal(size=(240 // s, 320 // s)), (320, 240)) for s in (4, 8, 20))
    picture = np.clip(128 + 40 * picture, 0, 255).astype(np.uint8)
    (folder / "images").mkdir()
    for number, name in enumerate((*REFERENCES, *QUERIES)):
        cv2.imwrite(str(folder / "images" / name), picture[8 * number : 8 * number + 192, 16 * number :][:, :256])
    for kind, options in (("sparse", {"top_k": 300}), ("semi-dense", {"top_k": 400, "mode": "semi-dense"})):
        extract(folder / "images", folder / f"{kind}.h5", **options)
        _take(folder / f"{kind}.h5", folder / f"{kind}-R.h5", {name: name for name in REFERENCES})
        _take(folder / f"{kind}.h5", folder / f"{kind}-Q.h5", {name: name for name in QUERIES})
    return folder


def _take(source: Path, target: Path, names: dict[str, str]) -> None:
    """Make a features file of some images of another, by new name."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        new.attrs.update(old.attrs)
        for name, old_name in names.items():
            old.copy(old_name, new, name)


def _entries(path: Path, names: Iterable[Pair]) -> list[tuple[dict, dict]]:
    with h5py.File(path) as h5:
        return [({key: item[()].tobytes() for key, item in h5[a][b].items()}, dict(h5[a][b].attrs)) for a, b in names]


def _names(path: Path) -> set[Pair]:
    with h5py.File(path) as h5:
        return {(a, b) for a in h5 for b in h5[a]}


@pytest.mark.parametrize("kind", ["sparse", "semi-dense"])
@pytest.mark.parametrize("turned", [False, True])
def test_two_files_give_the_entries_of_one(folder: Path, tmp_path: Path, kind: str, turned: bool) -> None:
    pairs = [pair[::-1] for pair in PAIRS] if turned else PAIRS
    first, second = ("Q", "R") if turned else ("R", "Q")
    match(pairs, folder / f"{kind}.h5", tmp_path / "one.h5")
    files = {"features": folder / f"{kind}-{second}.h5", "features0": folder / f"{kind}-{first}.h5"}
    assert match(pairs, output=tmp_path / "two.h5", **files).done == 4
    assert _names(tmp_path / "two.h5") == set(pairs)
    expected = _entries(tmp_path / "one.h5", pairs)
    assert _entries(tmp_path / "two.h5", pairs) == expected
    assert all(any(map(len, datasets.values())) and attributes["digest0"] for datasets, attributes in expected)
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "two.h5") as two:
        assert {*two.attrs} - {*one.attrs} == {"xfeat_features0"}
        assert all(two.attrs[key] == value for key, value in one.attrs.items())


def test_lighterglue_too(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("kornia", reason="needs the extra [lighterglue]")
    write_released(tmp_path / "weights.pt")
    options = {"matcher": "lighterglue", "weights": str(tmp_path / "weights.pt"), "device": "cpu", "min_score": 0.0}
    match(PAIRS, folder / "sparse.h5", tmp_path / "one.h5", **options)
    files = {"features": folder / "sparse-Q.h5", "features0": folder / "sparse-R.h5"}
    match(PAIRS, output=tmp_path / "two.h5", **files, **options)
    assert _entries(tmp_path / "two.h5", PAIRS) == _entries(tmp_path / "one.h5", PAIRS)


@pytest.mark.parametrize("kind", ["sparse", "semi-dense"])
def test_equal_names_in_both_files_are_different_images(folder: Path, tmp_path: Path, kind: str) -> None:
    _take(folder / f"{kind}.h5", tmp_path / "R.h5", dict(zip("ab", REFERENCES, strict=True)))
    _take(folder / f"{kind}.h5", tmp_path / "Q.h5", dict(zip("ab", QUERIES, strict=True)))
    (tmp_path / "pairs.txt").write_text("a a\na b\nb a\nb b\nb a\n")
    summary = match(tmp_path / "pairs.txt", tmp_path / "Q.h5", tmp_path / "two.h5", features0=tmp_path / "R.h5")
    assert (summary.total, summary.done) == (4, 4)
    match(PAIRS, folder / f"{kind}.h5", tmp_path / "one.h5")
    listed = [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert _entries(tmp_path / "two.h5", listed) == _entries(tmp_path / "one.h5", PAIRS)


def test_it_goes_on_where_it_stopped_and_refuses_other_files(folder: Path, tmp_path: Path) -> None:
    two, sparse, queries = tmp_path / "two.h5", folder / "sparse.h5", folder / "sparse-Q.h5"
    match(PAIRS[:1], sparse, two, features0=sparse)
    summary = match([PAIRS[0], PAIRS[0][::-1], PAIRS[1]], sparse, two, features0=sparse)
    assert (summary.done, summary.skipped) == (2, 1)
    with pytest.raises(ProvenanceError, match="features0"):
        match(PAIRS, sparse, two)
    _take(sparse, tmp_path / "R.h5", {"r0.png": "r1.png"})
    with pytest.raises(ProvenanceError, match=r"another version of r0\.png"):
        match(PAIRS[:1], queries, two, features0=tmp_path / "R.h5")
    summary = match(PAIRS[:1], queries, two, features0=tmp_path / "R.h5", renew=True)
    assert (summary.renewed, len(summary.removed), summary.done) == (["r0.png/q0.png"], 2, 1)


def test_an_unknown_name_says_which_file_lacks_it(folder: Path, tmp_path: Path) -> None:
    files = {"features": folder / "sparse-Q.h5", "features0": folder / "sparse-R.h5"}
    wrong = [("r0.png", "r1.png"), ("q0.png", "q1.png")]
    summary = match([PAIRS[0], *wrong], output=tmp_path / "two.h5", **files)
    reasons = dict(summary.failures)
    assert f"r1.png is not in {folder / 'sparse-Q.h5'}" in reasons["r0.png r1.png"]
    assert f"q0.png is not in {folder / 'sparse-R.h5'}" in reasons["q0.png q1.png"]
    with pytest.raises(PairsError, match=r"q0\.png not in .*sparse-R\.h5; .*first images belong in features0="):
        match([PAIRS[0][::-1], *wrong], output=tmp_path / "none.h5", **files)


def test_files_that_do_not_go_together_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sparse-R\.h5 holds features, .*semi-dense-Q\.h5 semi-dense features"):
        match(PAIRS, folder / "semi-dense-Q.h5", tmp_path / "m.h5", features0=folder / "sparse-R.h5")
    _take(folder / "sparse.h5", tmp_path / "other.h5", {"r0.png": "r0.png"})
    with h5py.File(tmp_path / "other.h5", "r+") as h5:
        h5.attrs["xfeat_weights_sha256"] = "0123456789"
    with pytest.raises(UsageError, match=r"features of the weights .* \(01234567\), .*Q\.h5 features of the weights"):
        match(PAIRS, folder / "sparse-Q.h5", tmp_path / "m.h5", features0=tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5", "r+") as h5:
        count = len(h5["r0.png/keypoints"])
        del h5["r0.png/descriptors"]
        h5["r0.png/descriptors"] = np.ones((128, count), np.float16)
    with pytest.raises(UsageError, match=r"descriptors of 128 numbers, .*descriptors of 64"):
        match(PAIRS, folder / "sparse-Q.h5", tmp_path / "m.h5", features0=tmp_path / "other.h5")
    with pytest.raises(UsageError, match="is an input of this command"):
        match(PAIRS, folder / "sparse-Q.h5", folder / "sparse-R.h5", features0=folder / "sparse-R.h5")
