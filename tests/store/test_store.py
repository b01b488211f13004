from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from xfeat_cli.errors import LockedError, ProvenanceError, StoreError, UsageError
from xfeat_cli.store import journal
from xfeat_cli.store.journal import JournaledFile
from xfeat_cli.store.layout import features_entry, matches_entry, partial_path, point_matches_entry
from xfeat_cli.store.names import pair_name
from xfeat_cli.store.reader import FeaturesReader, MatchesReader, open_hdf5
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, Matches, PointMatches

STRANGE_NAMES = [
    "a.jpg",
    "b/c/ü ñ 日本.png",
    "with space.jpg",
    "line\nbreak.jpg",
    "😀.jpg",
    "b/d.jpg",
    "-",
    "a-b/c.jpg",
]


def some_features(n: int, *, seed: int = 0, semi_dense: bool = False) -> Features:
    rng = np.random.default_rng(seed)
    return Features(
        keypoints=rng.uniform(0, 6000, (n, 2)).astype(np.float32),
        scores=np.sort(rng.uniform(0, 1, n).astype(np.float32))[::-1],
        descriptors=rng.normal(size=(n, 64)).astype(np.float16).astype(np.float32),
        image_size=(6000, 4000),
        scales=rng.uniform(1, 5, n).astype(np.float32) if semi_dense else None,
    )


def write_features(path: Path, features: dict[str, Features], kind: str = "features", **options: str | int) -> None:
    with Store.open(path, kind, options) as store:
        for name, item in features.items():
            store.put(name, features_entry(item), {"fingerprint": name}, {"keypoints": {"uncertainty": 1.5}})
        store.finish()


@pytest.mark.parametrize("semi_dense", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_features_come_back_exactly(tmp_path: Path, semi_dense: bool, half: bool) -> None:
    out = tmp_path / "new" / "folder" / "out.h5"
    features = {
        name: some_features(n, seed=n, semi_dense=semi_dense)
        for name, n in zip(STRANGE_NAMES, (0, 1, 2, 5000, 7, 8, 9, 10), strict=True)
    }
    kind = "semi-dense features" if semi_dense else "features"
    with Store.open(out, kind, {"top_k": 10}) as store:
        for name, item in features.items():
            store.put(name, features_entry(item, half=half), {"fingerprint": name})
        assert store.names() == set(features)
        store.finish()
    with FeaturesReader(out) as reader:
        assert reader.kind == kind
        assert reader.attributes["xfeat_top_k"] == 10
        assert reader.names() == sorted(features)
        for name, item in features.items():
            assert name in reader
            loaded = reader.load(name)
            assert loaded.descriptors.dtype == (np.float16 if half else np.float32)
            assert loaded.keypoints.dtype == loaded.scores.dtype == np.float32
            assert loaded.image_size == item.image_size
            np.testing.assert_array_equal(loaded.keypoints, item.keypoints)
            np.testing.assert_array_equal(loaded.scores, item.scores)
            np.testing.assert_array_equal(loaded.descriptors, item.descriptors)
            np.testing.assert_array_equal(loaded.scales, item.scales)
            assert reader.entry_attributes(name) == {"fingerprint": name}
        assert "no such" not in reader
        with pytest.raises(KeyError):
            reader.load("no such")
    assert sorted(path.name for path in out.parent.iterdir()) == [".out.h5.lock", "out.h5"]


def test_hloc_reads_features(tmp_path: Path) -> None:
    """By hloc's rules: every dataset's parent is an image, every dataset in there a tensor."""
    out = tmp_path / "out.h5"
    features = {"a.jpg": some_features(5), "b/c d.jpg": some_features(3)}
    write_features(out, features, weights="x")
    names = set()
    with h5py.File(out, "r", libver="latest") as file:

        def visit(_: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                names.add(item.parent.name.strip("/"))

        file.visititems(visit)
        assert names == set(features)
        for name, item in features.items():
            tensors = {key: value.__array__() for key, value in file[name].items()}
            assert set(tensors) == {"keypoints", "descriptors", "scores", "image_size"}
            np.testing.assert_array_equal(tensors["keypoints"], item.keypoints)
            np.testing.assert_array_equal(tensors["descriptors"], item.descriptors.T)
            np.testing.assert_array_equal(tensors["scores"], item.scores)
            assert tensors["image_size"].tolist() == [6000, 4000]
            assert file[name]["keypoints"].attrs["uncertainty"] == 1.5
            assert file[name]["keypoints"].chunks is None


def test_hloc_reads_matches(tmp_path: Path) -> None:
    out = tmp_path / "matches.h5"
    matches = Matches(np.array([[1, 40_000], [3, 0]], np.int32), np.array([0.5, 0.25], np.float32))
    with Store.open(out, "matches", {}) as store:
        store.put(pair_name("x/a.jpg", "b.jpg"), matches_entry(matches, 5))
        store.finish()
    with h5py.File(out, "r") as file:
        pair = "/".join(("x-a.jpg", "b.jpg"))
        assert pair in file
        assert file[pair]["matches0"].dtype == np.int32
        assert file[pair]["matches0"][()].tolist() == [-1, 40_000, -1, 0, -1]
        assert file[pair]["matching_scores0"].dtype == np.float16
        assert file[pair]["matching_scores0"][()].tolist() == [0, 0.5, 0, 0.25, 0]
    with MatchesReader(out) as reader:
        loaded = reader.load("x/a.jpg", "b.jpg")
        assert isinstance(loaded, Matches)
        np.testing.assert_array_equal(loaded.indices, matches.indices)
        np.testing.assert_array_equal(loaded.scores, matches.scores)
        flipped = reader.load("b.jpg", "x/a.jpg")
        assert flipped.indices.tolist() == [[0, 3], [40_000, 1]]
        assert flipped.scores.tolist() == [0.25, 0.5]
        assert ("b.jpg", "x/a.jpg") in reader
        assert ("b.jpg", "a.jpg") not in reader
        with pytest.raises(KeyError):
            reader.load("b.jpg", "a.jpg")


def test_point_matches_come_back_either_way_round(tmp_path: Path) -> None:
    out = tmp_path / "matches.h5"
    rng = np.random.default_rng(0)
    points0, points1 = rng.uniform(0, 99, (2, 7, 2)).astype(np.float32)
    scores = rng.uniform(0, 1, 7).astype(np.float32)
    with Store.open(out, "semi-dense matches", {}) as store:
        store.put(pair_name("a", "b"), point_matches_entry(PointMatches(points0, points1, scores)))
        store.finish()
    with MatchesReader(out) as reader:
        forward, back = reader.load("a", "b"), reader.load("b", "a")
    np.testing.assert_array_equal(forward.points0, points0)
    np.testing.assert_array_equal(forward.points1, points1)
    np.testing.assert_array_equal(back.points0, points1)
    np.testing.assert_array_equal(back.points1, points0)
    np.testing.assert_array_equal(back.scores, scores)


def test_a_file_made_by_hloc(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    keypoints = np.array([[1.5, 2.5], [3, 4]], np.float16)
    with h5py.File(path, "w", libver="latest") as file:
        for name in ("db/1.jpg", "db/2.jpg", "half.jpg"):
            file.create_group(name)["keypoints"] = keypoints
            if name != "half.jpg":
                file[name]["descriptors"] = np.ones((256, 2), np.float16)
                file[name]["image_size"] = np.array([640, 480])
    with FeaturesReader(path) as reader:
        assert reader.kind == "features"
        assert reader.names() == ["db/1.jpg", "db/2.jpg"]
        features = reader.load("db/1.jpg")
    assert features.keypoints.tolist() == [[1.5, 2.5], [3, 4]]
    assert features.descriptors.shape == (2, 256)
    assert features.image_size == (640, 480)
    assert features.scores.tolist() == [1, 1]


def test_leaving_unfinished_keeps_what_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"

    def interrupted() -> None:
        with Store.open(out, "features", {}) as store:
            store.put("a.jpg", features_entry(some_features(3)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not out.exists()
    with pytest.raises(StoreError, match="not finished yet"):
        FeaturesReader(out)
    with Store.open(out, "features", {}) as store:
        assert store.names() == {"a.jpg"}
        store.finish()
    assert not partial_path(out).exists()
    assert FeaturesReader(out).names() == ["a.jpg"]


def test_a_finished_file_can_be_extended_replaced_and_reduced(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {name: some_features(4) for name in ("a", "b", "c/d")})
    with Store.open(out, "features", {}) as store:
        assert not out.exists()
        store.put("a", features_entry(some_features(9, seed=5)), {"fingerprint": "new"})
        store.put("e", features_entry(some_features(2)))
        store.remove("b")
        assert store.names() == {"a", "c/d", "e"}
        assert store.attributes("a") == {"fingerprint": "new"}
        with pytest.raises(KeyError):
            store.remove("b")
        store.finish()
    with FeaturesReader(out) as reader:
        assert reader.names() == ["a", "c/d", "e"]
        np.testing.assert_array_equal(reader.load("a").keypoints, some_features(9, seed=5).keypoints)


def test_a_finished_file_that_is_left_as_it_was_keeps_its_name(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {"a": some_features(4)})
    content = out.read_bytes()
    Store.open(out, "features", {}).close()
    assert out.read_bytes() == content
    assert not partial_path(out).exists()


def test_overwriting_keeps_the_old_file_until_the_new_one_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {"old": some_features(4)}, top_k=1)
    with Store.open(out, "features", {"top_k": 2}, overwrite=True) as store:
        store.put("new", features_entry(some_features(1)))
    with pytest.raises(StoreError, match=r"overwrite=True that has not finished.*remove out\.h5\.partial"):
        FeaturesReader(out)
    with open_hdf5(out, superseded=True) as h5:
        assert list(h5) == ["old"]
    with Store.open(out, "features", {"top_k": 2}) as store:
        assert store.names() == {"new"}
        store.finish()
    assert FeaturesReader(out).names() == ["new"]


def test_discarding_leaves_no_file_without_entries(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with Store.open(out, "features", {}) as store:
        store.discard()
    assert [path.name for path in tmp_path.iterdir()] == [".out.h5.lock"]
    with Store.open(out, "features", {}) as store:
        store.put("a", features_entry(some_features(4)))
        store.discard()
    with Store.open(out, "features", {}) as store:
        assert store.names() == {"a"}


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("torn_partial", [False, True])
def test_a_finished_file_outlives_remains_of_a_job_that_never_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool, torn_partial: bool
) -> None:
    """Also when the machine dies just before or after the finished file is set aside to be extended."""
    out = tmp_path / "out.h5"
    write_features(out, {"a": some_features(4)})
    remains = JournaledFile.create(partial_path(out))
    remains.write(b"torn")
    remains.close()
    if not torn_partial:
        partial_path(out).unlink()

    def dying(source: Path, target: Path) -> None:
        if renamed:
            source.replace(target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xfeat_cli.store.writer.durable_rename", dying)
        with pytest.raises(KeyboardInterrupt):
            Store.open(out, "features", {})
    with Store.open(out, "features", {}) as store:
        assert store.names() == {"a"}


def test_an_entry_that_is_interrupted_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.h5"
    create = h5py.h5d.create

    def interrupted(group: h5py.h5g.GroupID, key: bytes, *options: object) -> h5py.h5d.DatasetID:
        if key == b"scores":
            raise KeyboardInterrupt
        return create(group, key, *options)

    with Store.open(out, "features", {}) as store:
        store.put("a", features_entry(some_features(4)))
        store.commit()
        monkeypatch.setattr(h5py.h5d, "create", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.put("b", features_entry(some_features(4)))
        with pytest.raises(StoreError, match="cannot write"):
            store.put("c", {})
    with Store.open(out, "features", {}) as store:
        assert store.names() == {"a"}


@pytest.mark.parametrize("finished", [False, True])
def test_another_provenance_is_refused_with_every_difference_named(tmp_path: Path, finished: bool) -> None:
    out = tmp_path / "out.h5"
    made = {"top_k": 2048, "weights": "ours", "threshold": 0.05, "gone": 1}
    with Store.open(out, "features", made) as store:
        store.put("a", features_entry(some_features(1)))
        if finished:
            store.finish()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ProvenanceError) as caught:
        Store.open(out, "semi-dense features", {"top_k": 4096, "weights": "ours", "threshold": 0.05, "added": "x"})
    assert str(caught.value) == (
        f"{out} was made with kind features, now semi-dense features; added unknown, now x; top_k 2048, now 4096; "
        "gone 1, now none; use overwrite=True to start again, or another output name"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    Store.open(out, "features", made).close()


def test_another_version_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {"a": some_features(1)})
    monkeypatch.setattr("xfeat_cli.store.writer.__version__", "99")
    with Store.open(out, "features", {}) as store:
        assert "a" in store


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_text("this is not HDF5")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds text, not an HDF5 file"):
            Store.open(out, "features", {}, overwrite=overwrite)
    assert out.read_text() == "this is not HDF5"
    with h5py.File(out, "w") as file:
        file["a/values"] = [1.0]
    with pytest.raises(ProvenanceError, match="not made by xfeat"):
        Store.open(out, "features", {})
    with pytest.raises(UsageError, match="holds unknown content, not features"):
        Store.open(out, "features", {}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.h5.lock", "out.h5"]


def test_overwriting_never_replaces_another_kind_of_file(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {"a": some_features(4)})
    before = out.read_bytes()
    with pytest.raises(UsageError, match="holds features, not matches"):
        Store.open(out, "matches", {}, overwrite=True)
    assert out.read_bytes() == before
    with Store.open(out, "semi-dense features", {}, overwrite=True) as store:  # the same kind of things
        store.put("a", features_entry(some_features(4, semi_dense=True)))
        store.finish()
    assert FeaturesReader(out).kind == "semi-dense features"


def test_an_output_is_never_an_input_by_any_spelling(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {"a": some_features(4)})
    before = out.read_bytes()
    (tmp_path / "link.h5").symlink_to(out)
    (tmp_path / "hard.h5").hardlink_to(out)
    (tmp_path / "sub").mkdir()
    for spelling in (out, tmp_path / "sub" / ".." / "out.h5", tmp_path / "link.h5", tmp_path / "hard.h5"):
        with pytest.raises(UsageError, match="is an input of this command"):
            Store.open(spelling, "features", {}, overwrite=True, inputs=[out])
    partial = tmp_path / "new.h5.partial"
    out.rename(partial)
    with pytest.raises(UsageError, match="is an input of this command"):
        Store.open(tmp_path / "new.h5", "features", {}, overwrite=True, inputs=[partial])
    assert partial.read_bytes() == before


def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "disk" / "out.h5", tmp_path / "out.h5"
    link.symlink_to(target)
    for _ in range(2):
        write_features(link, {"a": some_features(4)})
        assert link.is_symlink()
        assert FeaturesReader(target).names() == ["a"]
    assert sorted(path.name for path in target.parent.iterdir()) == [".out.h5.lock", "out.h5"]


def test_pipes_and_stdout_cannot_hold_a_file_of_features(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.h5")
    for place in (tmp_path / "out.h5", Path("-")):
        with pytest.raises(UsageError, match="name a file"):
            Store.open(place, "features", {}, overwrite=True)
    with pytest.raises(StoreError, match="device or a pipe"):
        FeaturesReader(tmp_path / "out.h5")
    assert (tmp_path / "out.h5").is_fifo()


def test_an_empty_file_is_taken_for_none(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.touch()
    write_features(out, {"a": some_features(4)})
    assert FeaturesReader(out).names() == ["a"]


def test_a_full_disk_at_the_start_leaves_the_old_file_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.h5"
    write_features(out, {"old": some_features(4)})

    def full(fd: int, offset: int, view: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "_write_at", full)
    with pytest.raises(StoreError, match="No space left"):
        Store.open(out, "features", {"top_k": 2}, overwrite=True)
    assert FeaturesReader(out).names() == ["old"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        Store.open(tmp_path, "features", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*out\.h5"):
        Store.open(tmp_path / "file" / "out.h5", "features", {})


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "a/../b", "a\0b", "\udcff.jpg"])
def test_names_that_cannot_be_entries(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / "out.h5", "features", {}) as store:
        with pytest.raises(StoreError, match=r"entry|Unicode"):
            store.put(name, features_entry(some_features(1)))
        store.put("good", features_entry(some_features(1)))
        for clash in ("good/keypoints", "good/x/y"):
            with pytest.raises(StoreError, match="both an entry and a folder"):
                store.put(clash, features_entry(some_features(1)))
        store.put("folder/x", features_entry(some_features(1)))
        with pytest.raises(StoreError, match="both an entry and a folder"):
            store.put("folder", features_entry(some_features(1)))
        assert store.names() == {"good", "folder/x"}
        store.finish()


def test_a_second_writer_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    program = (
        "import sys; from pathlib import Path; from xfeat_cli.store.writer import Store\n"
        f"store = Store.open(Path({str(out)!r}), 'features', {{}}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        for overwrite in (False, True):
            with pytest.raises(LockedError, match=r"out\.h5 is being written by another process"):
                Store.open(out, "features", {}, overwrite=overwrite)
        other.kill()
    Store.open(out, "features", {}).close()


KILLED_JOB = """
import sys, numpy as np
from pathlib import Path
from xfeat_cli.store.writer import Store
with Store.open(Path(sys.argv[1]), "features", {}, commit_seconds=0.01) as store:
    todo = [n for n in range(2000) if f"d/{n}.jpg" not in store]
    print("open", flush=True)
    for n in todo:
        store.put(f"d/{n}.jpg", {"keypoints": np.full((n, 2), n, np.float32), "descriptors": np.full((4, n), n, "f2")})
    store.finish()
"""


def test_killed_at_random_and_run_again(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    rng = random.Random(3)
    kills = 0
    before: set[str] = set()
    while not out.exists():
        with subprocess.Popen([sys.executable, "-c", KILLED_JOB, str(out)], stdout=subprocess.PIPE) as job:
            assert job.stdout is not None
            if kills < 10:
                job.stdout.readline()
                time.sleep(rng.uniform(0, 0.08))
                job.send_signal(signal.SIGKILL)
            job.wait()
        if out.exists():
            break
        kills += 1
        assert kills <= 10, "the job that was let alone did not finish"
        with Store.open(out, "features", {}) as store:
            assert before <= store.names(), "an entry that had been committed is lost"
            before = store.names()
    assert kills >= 5
    with h5py.File(out, "r") as file:
        assert len(file["d"]) == 2000
        for n in range(2000):
            entry = file[f"d/{n}.jpg"]
            assert set(entry) == {"keypoints", "descriptors"}
            assert (entry["keypoints"][()] == n).all()
            assert entry["keypoints"].shape == (n, 2)
            assert (entry["descriptors"][()] == np.float16(n)).all()


def test_missing_and_foreign_inputs(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"out\.h5 does not exist; run `xfeat extract` first"):
        FeaturesReader(tmp_path / "out.h5")
    write_features(tmp_path / "out.h5", {"a": some_features(100)})
    with pytest.raises(StoreError, match="holds features, not matches"):
        MatchesReader(tmp_path / "out.h5")
    content = (tmp_path / "out.h5").read_bytes()
    for size in range(0, len(content), 1000):
        (tmp_path / "cut.h5").write_bytes(content[:size])
        with pytest.raises(StoreError, match=r"cut\.h5"):
            FeaturesReader(tmp_path / "cut.h5").load("a")


def damaged(path: Path, key: str, **dataset: object) -> None:
    write_features(path, {"a": some_features(3)})
    with h5py.File(path, "r+") as file:
        del file["a"][key]
        file["a"].create_dataset(key, **dataset)


@pytest.mark.parametrize(
    ("key", "dataset"),
    [
        ("keypoints", {"data": np.full((3, 2), np.nan, np.float32)}),
        ("keypoints", {"data": np.zeros((3, 3), np.float32)}),
        ("keypoints", {"data": np.zeros(6, np.float32)}),
        ("keypoints", {"data": np.zeros((3, 2), complex)}),
        ("keypoints", {"data": ["text", "text"]}),
        ("keypoints", {"data": np.float32(1)}),
        ("keypoints", {"shape": (10**9, 2), "dtype": "f4"}),
        ("keypoints", {"shape": (3, 2), "dtype": "f4"}),
        ("descriptors", {"data": np.zeros((64, 2), np.float32)}),
        ("descriptors", {"shape": (2**40, 3), "dtype": "f4", "chunks": (1024, 3)}),
        ("scores", {"data": np.zeros(2, np.float32)}),
        ("image_size", {"data": np.zeros(3, np.int32)}),
    ],
)
def test_damaged_entries_are_named(tmp_path: Path, key: str, dataset: dict) -> None:
    path = tmp_path / "out.h5"
    damaged(path, key, **dataset)
    with FeaturesReader(path) as reader, pytest.raises(StoreError, match=rf"out\.h5: {key} of 'a' "):
        reader.load("a")


def test_nothing_outside_the_file_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    write_features(secret, {"a": some_features(3)})
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    path = tmp_path / "out.h5"
    write_features(path, {name: some_features(3) for name in ("good", "external", "virtual")})
    with h5py.File(path, "r+") as file:
        file["linked"] = h5py.ExternalLink(str(secret), "/a")
        file["soft"] = h5py.SoftLink("/good")
        del file["external"]["keypoints"], file["virtual"]["keypoints"]
        file["external"].create_dataset(
            "keypoints", (3, 2), "f4", external=[(str(tmp_path / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        )
        layout = h5py.VirtualLayout((3, 2), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "a/keypoints", (3, 2))
        file["virtual"].create_virtual_dataset("keypoints", layout)
    with FeaturesReader(path) as reader:
        assert reader.names() == ["external", "good", "virtual"]
        for name in ("external", "virtual"):
            with pytest.raises(StoreError, match="lies in another file"):
                reader.load(name)
        assert len(reader.load("good")) == 3
        with pytest.raises(KeyError):
            reader.load("linked")


def test_matches_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "matches.h5"
    with h5py.File(path, "w") as file:
        file["a/b/matches0"] = np.arange(3)
        file["a/b/matching_scores0"] = np.zeros(4, np.float16)
    with MatchesReader(path) as reader, pytest.raises(StoreError, match="matching_scores0 of 'a/b'"):
        reader.load("a", "b")
