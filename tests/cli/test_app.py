"""The command line as its users meet it: exit codes, streams, JSON, help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest


def xfeat(*arguments: object, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xfeat_cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 255, (30, 40), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{i} x.png"), cv2.resize(noise, (160, 120)))
    return tmp_path


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    [line] = [line for line in result.stderr.splitlines() if not line.endswith(" …")]  # what is being loaded
    assert line.startswith("xfeat: ")
    assert result.stdout == ""
    return line


def test_the_main_job_as_typed(folder: Path) -> None:
    assert xfeat("extract", "images", cwd=folder).returncode == 0
    assert xfeat("pairs", "exhaustive", "out.h5", "-o", "pairs.txt", cwd=folder).returncode == 0
    assert (folder / "pairs.txt").read_text().splitlines() == [
        "0 x.png\t1 x.png",
        "0 x.png\t2 x.png",
        "1 x.png\t2 x.png",
    ]
    result = xfeat("match", "pairs.txt", cwd=folder)
    assert result.returncode == 0
    assert "3 done" in result.stderr
    with h5py.File(folder / "matches.h5") as h5:
        assert set(h5["0 x.png"]) == {"1 x.png", "2 x.png"}
    assert xfeat("match-pairs", "pairs.txt", "--output", "m2.h5", cwd=folder).returncode == 0


def test_photographs_to_train_on_are_not_those_of_a_model(folder: Path) -> None:
    result = xfeat(
        "train", "images", "--multi-view", "nowhere", "--images", "images", "--out", "w.safetensors", cwd=folder
    )
    assert result.returncode == 2
    assert "nowhere holds no COLMAP model" in one_line(result)
    assert not (folder / "w.safetensors").exists()


def test_json_is_one_object_a_line_with_a_summary_last(folder: Path) -> None:
    (folder / "images" / "bad.jpg").write_bytes(b"")
    result = xfeat("extract", "images", "--json", cwd=folder)
    assert result.returncode == 1
    *lines, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted((line["image"], line["status"]) for line in lines) == [
        ("0 x.png", "ok"),
        ("1 x.png", "ok"),
        ("2 x.png", "ok"),
        ("bad.jpg", "failed"),
    ]
    assert last["summary"] is True
    assert (last["total"], last["done"], len(last["failures"])) == (4, 3, 1)
    assert xfeat("match", "-", cwd=folder).returncode == 2

    (folder / "pairs.txt").write_text("0 x.png\t1 x.png\n0 x.png\tgone.png\n")
    result = xfeat("match", "pairs.txt", "--json", cwd=folder)
    assert result.returncode == 1
    *lines, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert {(line["image0"], line["image1"], line["status"]) for line in lines} == {
        ("0 x.png", "1 x.png", "ok"),
        ("0 x.png", "gone.png", "failed"),
    }
    assert last["done"] == 1


def test_exit_codes(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "junk").mkdir()
    (folder / "junk" / "a.jpg").write_text("no")
    assert "no images" in one_line(xfeat("extract", "empty", cwd=folder))
    assert "does not exist" in one_line(xfeat("extract", "nowhere", cwd=folder))
    assert xfeat("extract", "empty", cwd=folder).returncode == 2
    junk = xfeat("extract", "junk", cwd=folder)
    assert junk.returncode == 2
    assert "a.jpg" in junk.stderr
    assert not (folder / "out.h5").exists()
    assert xfeat("extract", "images", "--mode", "none", cwd=folder).returncode == 2
    (folder / "pairs.txt").write_text("a.png b.png\n")
    assert "xfeat extract" in one_line(xfeat("match", "pairs.txt", cwd=folder))


def test_image_list_from_stdin(folder: Path) -> None:
    result = xfeat("extract", "images", "--image-list", "-", "--quiet", cwd=folder, stdin="1 x.png\n")
    assert (result.returncode, result.stderr) == (0, "")
    with h5py.File(folder / "out.h5") as h5:
        assert list(h5) == ["1 x.png"]


def test_pairs_of_a_folder_in_sequence(folder: Path) -> None:
    assert xfeat("pairs", "sequential", "images", "--overlap", "1", "-o", "p.txt", cwd=folder).returncode == 0
    assert (folder / "p.txt").read_text() == "0 x.png\t1 x.png\n1 x.png\t2 x.png\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_good_order(folder: Path, number: signal.Signals) -> None:
    data = (folder / "images" / "0 x.png").read_bytes()
    for i in range(1500):
        (folder / "images" / f"{i:04}.png").write_bytes(data)
    process = subprocess.Popen(
        [sys.executable, "-m", "xfeat_cli", "extract", "images", "--verbose"],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for _ in range(5):
        process.stderr.readline()
    os.kill(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "the same command goes on" in stderr.lower()
    assert (folder / "out.h5.partial").exists()
    assert not (folder / "out.h5").exists()


def test_help_names_every_command(folder: Path) -> None:
    result = xfeat("--help", cwd=folder)
    assert result.returncode == 0
    for command in ("extract", "match", "match-pairs", "pairs", "inspect", "weights", "demo"):
        assert command in result.stdout
        assert "xfeat" in xfeat(command, "--help", cwd=folder).stdout
    assert xfeat("--version", cwd=folder).stdout.startswith("xfeat 0.")
