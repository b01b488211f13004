from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from xfeat_cli.cli.app import app
from xfeat_cli.errors import StoreError
from xfeat_cli.store.layout import features_entry, matches_entry, partial_path, point_matches_entry
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, Matches, PointMatches


def features(n: int) -> Features:
    return Features(np.zeros((n, 2), "f4"), np.zeros(n, "f4"), np.zeros((n, 64), "f4"), (640, 480))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], env={"COLUMNS": "200"})


def inspected(path: Path) -> dict:
    result = run(path, "--json")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def write_features(path: Path, counts: list[int], *, finish: bool = True) -> None:
    with Store.open(path, "features", {"top_k": 4096, "weights": "ours"}) as store:
        for number, count in enumerate(counts):
            store.put(f"d/{number}.jpg", features_entry(features(count)))
        if finish:
            store.finish()


def test_features(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    write_features(path, [5, 0, 3, 4096])
    found = inspected(path)
    assert found["kind"] == "features"
    assert found["unit"] == "images"
    assert found["entries"] == 4
    assert found["counted"] == "keypoints"
    assert found["counts"] == {"min": 0, "median": 4.0, "max": 4096, "total": 4104}
    assert found["datasets"] == {
        "descriptors": "float16 (64, 5)",
        "image_size": "int32 (2,)",
        "keypoints": "float32 (5, 2)",
        "scores": "float32 (5,)",
    }
    assert found["made_with"]["top_k"] == 4096
    assert found["made_with"]["weights"] == "ours"
    assert found["incomplete"] == {}
    assert found["finished"] is True
    assert found["made_by_xfeat"] is True
    assert found["size_bytes"] == path.stat().st_size
    table = run(path).stdout
    for text in ("features", "min 0, median 4, max 4,096, total 4,104", "float16 (64, 5)", "ours", "none"):
        assert text in table


def test_matches_count_what_is_matched(tmp_path: Path) -> None:
    path = tmp_path / "matches.h5"
    with Store.open(path, "matches", {}) as store:
        for number in range(3):
            indices = np.arange(number, dtype=np.int32)[:, None].repeat(2, 1)
            store.put(f"a/{number}", matches_entry(Matches(indices, np.ones(number, "f4")), 10))
        store.finish()
    found = inspected(path)
    assert (found["unit"], found["counted"]) == ("pairs", "matches")
    assert found["counts"] == {"min": 0, "median": 1, "max": 2, "total": 3}


def test_semi_dense_matches(tmp_path: Path) -> None:
    path = tmp_path / "matches.h5"
    points = np.zeros((7, 2), np.float32)
    with Store.open(path, "semi-dense matches", {}) as store:
        store.put("a/b", point_matches_entry(PointMatches(points, points, points[:, 0])))
        store.finish()
    assert inspected(path)["counts"] == {"min": 7, "median": 7, "max": 7, "total": 7}


def test_an_unfinished_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    write_features(path, [5, 6], finish=False)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    found = inspected(partial_path(path))
    assert found["finished"] is False
    assert found["entries"] == 2
    assert "unfinished" in run(partial_path(path)).stdout
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    result = run(path)
    assert isinstance(result.exception, StoreError)
    assert "not finished yet" in str(result.exception)


def test_incomplete_entries_of_hloc_are_named(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    with h5py.File(path, "w") as file:
        for number in range(40):
            group = file.create_group(f"db/{number:02}.jpg")
            group["keypoints"] = np.zeros((number, 2), np.float16)
            if number < 25:
                group["descriptors"] = np.zeros((256, number), np.float16)
        file.create_group("db/empty.jpg")
        file["db/00.jpg"].attrs["note"] = "x"
    found = inspected(path)
    assert found["kind"] == "features"
    assert found["made_by_xfeat"] is False
    assert found["entries"] == 25
    assert len(found["incomplete"]) == 16
    assert found["incomplete"]["db/25.jpg"] == "lacks descriptors"
    assert found["incomplete"]["db/empty.jpg"] == "lacks keypoints, descriptors"
    table = run(path).stdout
    assert "16 images" in table
    assert "'db/25.jpg' lacks descriptors" in table
    assert "and 6 more" in table


def test_damaged_entries_are_named(tmp_path: Path) -> None:
    path = tmp_path / "matches.h5"
    with h5py.File(path, "w") as file:
        file["a/b/matches0"] = np.arange(3)
        file["a/c/matches0"] = ["text"]
        for name in "bc":
            file[f"a/{name}/matching_scores0"] = np.zeros(3, np.float16)
    found = inspected(path)
    assert found["entries"] == 1
    assert found["counts"]["total"] == 3
    assert found["incomplete"] == {"a/c": "matches0 holds object"}


def test_unknown_content(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x/y"] = [1, 2]
        file["top"] = 1.0
        file.attrs["author"] = "somebody"
    found = inspected(path)
    assert found["kind"] == "unknown content"
    assert found["counts"] is None
    assert found["made_with"] == {"author": "somebody"}
    assert "unknown content (not made by xfeat)" in run(path).stdout


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    write_features(path, [])
    found = inspected(path)
    assert found["kind"] == "features"
    assert (found["entries"], found["counts"], found["datasets"]) == (0, None, {})
    assert run(path).exit_code == 0


@pytest.mark.parametrize("content", [None, b"", b"text", "folder"])
def test_no_hdf5_is_one_line_and_exit_code_2(
    tmp_path: Path, content: bytes | str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from xfeat_cli.cli.app import main

    path = tmp_path / "out.h5"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["xfeat", "inspect", str(path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"xfeat: {path} ")
    assert captured.err.count("\n") == 1
