"""Values of hostile and damaged files: refused one by one, by name (docs/formats.md, rules V1 to V6)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from xfeat_cli.errors import StoreError
from xfeat_cli.inspection import inspect_file
from xfeat_cli.store.heaps import has_endless_heap
from xfeat_cli.store.reader import FeaturesReader, MatchesReader
from xfeat_cli.store.values import checked_indices, groups, python_attributes

N = 20


def _file(path: Path, kind: str, change: Callable[[Any], None] = lambda h5: None) -> Path:
    with h5py.File(path, "w") as h5:
        h5.attrs["xfeat_kind"] = kind
        for name in ("a", "b"):
            group = h5.create_group(name if kind == "features" else f"{name}/c")
            if kind == "features":
                group["keypoints"] = np.ones((N, 2), np.float32)
                group["descriptors"] = np.ones((64, N), np.float16)
                group["image_size"] = np.array([640, 480])
            elif kind == "matches":
                group["matches0"] = np.arange(N)
                group["matching_scores0"] = np.ones(N, np.float16)
            else:
                group["keypoints0"] = group["keypoints1"] = np.ones((N, 2), np.float32)
                group["scores"] = np.ones(N, np.float32)
        change(h5)
    return path


def _replace(key: str, value: Any, **options: Any) -> Callable[[Any], None]:
    def change(h5: Any) -> None:
        del h5[key]
        h5.create_dataset(key, data=value, **options)

    return change


def _claim(key: str, shape: tuple[int, ...], **options: Any) -> Callable[[Any], None]:
    def change(h5: Any) -> None:
        del h5[key]
        h5.create_dataset(key, shape, "f4", **options)[(0,) * len(shape)] = 1

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_replace("a/keypoints", np.full((N, 2), np.nan, np.float32)), "not finite"),
        (_replace("a/keypoints", np.full((N, 2), 1e30)), "beyond all measure"),
        (_replace("a/keypoints", np.full((N, 2), 1e300)), "beyond all measure"),
        (_replace("a/keypoints", np.ones((N, 3), np.float32)), r"has shape \(20, 3\)"),
        (_replace("a/keypoints", np.ones((N, 2), np.int32)), "holds int32"),
        (_replace("a/keypoints", [b"text"]), "holds"),
        (_replace("a/descriptors", np.full((64, N), np.inf, np.float16)), "not finite"),
        (_replace("a/descriptors", np.ones((64, N + 1), np.float16)), "has shape"),
        (_replace("a/image_size", [np.nan, 1]), "not finite"),
        (_replace("a/image_size", np.array([2**62, 1])), "which no image has"),
        (_replace("a/image_size", np.array([-1, 1])), "which no image has"),
        (_claim("a/keypoints", (9_000_000, 2), chunks=(1000, 2)), "only a part of its data"),
        (_claim("a/keypoints", (10, 2), chunks=(9_000_000, 2), maxshape=(None, 2), compression=1), "absurd shape"),
        (_claim("a/keypoints", (2**40, 2), chunks=(1000, 2)), "absurd shape"),
        (
            _replace("a/keypoints", np.zeros((400_000, 2), np.float32), compression="gzip", chunks=(400_000, 2)),
            "claims 3,200,000 bytes and stores",
        ),
    ],
)
def test_a_bad_image_fails_alone_and_by_name(tmp_path: Path, change: Callable[[Any], None], reason: str) -> None:
    with FeaturesReader(_file(tmp_path / "f.h5", "features", change)) as reader:
        with pytest.raises(StoreError, match=rf"f\.h5: .* of 'a' .*{reason}.*make that entry again"):
            reader.load("a")
        assert len(reader.load("b")) == N


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_replace("a/c/matches0", np.full(N, 2**40)), "refers to keypoint 1,099,511,627,776, which no image has"),
        (_replace("a/c/matches0", np.full(N, 2**64 - 1, np.uint64)), "which no image has"),
        (_replace("a/c/matches0", np.zeros(N, np.int16)), "matches a keypoint of image 1 twice"),
        (_replace("a/c/matches0", np.zeros(N, np.float32)), "holds float32"),
        (_replace("a/c/matches0", np.zeros((N, 2), int)), "has shape"),
        (_replace("a/c/matching_scores0", np.full(N, np.nan)), "not finite"),
    ],
)
def test_a_bad_pair_fails_alone_and_by_name(tmp_path: Path, change: Callable[[Any], None], reason: str) -> None:
    with MatchesReader(_file(tmp_path / "m.h5", "matches", change)) as reader:
        with pytest.raises(StoreError, match=rf"of 'a/c' .*{reason}"):
            reader.load("a", "c")
        assert len(reader.load("b", "c")) == N


@pytest.mark.parametrize(("key", "value"), [("keypoints0", np.nan), ("keypoints1", 1e7), ("scores", np.inf)])
def test_semi_dense_points_must_lie_in_an_image(tmp_path: Path, key: str, value: float) -> None:
    shape = (N,) if key == "scores" else (N, 2)
    path = _file(tmp_path / "m.h5", "semi-dense matches", _replace(f"a/c/{key}", np.full(shape, value, np.float32)))
    with MatchesReader(path) as reader, pytest.raises(StoreError, match=f"{key} of 'a/c'"):
        reader.load("a", "c")


def test_every_negative_index_is_unmatched() -> None:
    assert checked_indices(np.array([-5, 3, -1, -(2**40)])).tolist() == [-1, 3, -1, -1]
    assert checked_indices(np.array([], np.uint64)).dtype == np.int32


def test_attributes_of_any_type_can_be_told(tmp_path: Path) -> None:
    def change(h5: Any) -> None:
        h5.attrs["xfeat_empty"] = h5py.Empty("f4")
        h5.attrs["xfeat_reference"] = h5["a"].ref
        h5.attrs["xfeat_list"] = [1, 2]
        h5.attrs["xfeat_min_cossim"] = "abc"
        h5py.h5a.create(h5.id, b"xfeat_\xff", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))
        h5py.h5d.create(h5["a"].id, b"k\xff", h5py.h5t.NATIVE_INT32, h5py.h5s.create(h5py.h5s.SCALAR))

    path = _file(tmp_path / "f.h5", "features", change)
    inspection = inspect_file(path)
    assert inspection.made_with["list"] == [1, 2]
    assert "unreadable" in inspection.made_with["reference"]
    json.dumps(inspection.made_with)
    with FeaturesReader(path) as reader, pytest.raises(StoreError, match="xfeat_min_cossim is 'abc', not a number"):
        reader.number("xfeat_min_cossim", -1, -1, 1)


def test_groups_within_groups_without_end_are_left(tmp_path: Path) -> None:
    def change(h5: Any) -> None:
        group = h5["a"]
        for _ in range(500):
            group = group.create_group("d")
        h5["a/up"] = h5["/a"]  # a hard link to its own parent
        h5["b/soft"] = h5py.SoftLink("/a")

    path = _file(tmp_path / "f.h5", "features", change)
    with h5py.File(path) as h5:
        found = groups(h5)
    assert len(found) < 70
    assert found["a"] == ("descriptors", "image_size", "keypoints")
    assert inspect_file(path).entries == 2


def test_a_heap_that_hdf5_follows_for_ever_is_told(tmp_path: Path) -> None:
    path = _file(tmp_path / "f.h5", "features")
    assert not has_endless_heap(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"GCOL")
    size = struct.unpack_from("<Q", data, start + 8)[0]
    struct.pack_into("<HHIQ", data, start + 16, 0, 0, 0, 0)
    path.write_bytes(data)
    assert size > 32
    assert has_endless_heap(path)
    with pytest.raises(StoreError, match="its strings cannot be read"):
        FeaturesReader(path)


def test_python_attributes_of_our_own_are_as_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as h5:
        h5.attrs.update({"text": "ü", "number": 3, "share": 0.5})
        assert python_attributes(h5) == {"text": "ü", "number": 3, "share": 0.5}
