"""Every finding, on the smallest files that show it, and none on sound ones."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from xfeat_cli import extract, match
from xfeat_cli.doctor.examine import examine
from xfeat_cli.doctor.graph import components

Files = dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three overlapping photographs, their features, matches and list of pairs, all sound."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (60, 90), np.uint8)
    scene = cv2.resize(noise, (720, 480), interpolation=cv2.INTER_CUBIC)
    for i in range(3):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), scene[:, 40 * i : 40 * i + 600])
    extract(folder / "images", folder / "f.h5", top_k=1000)
    (folder / "p.txt").write_text("0.png 1.png\n1.png 2.png\n")
    match(folder / "p.txt", folder / "f.h5", folder / "m.h5")
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Files:
    """Copies to be damaged."""
    copies = {}
    for name in ("f.h5", "m.h5", "p.txt"):
        copies[name] = tmp_path / name
        copies[name].write_bytes((made / name).read_bytes())
    copies["images"] = tmp_path / "images"
    copies["images"].mkdir()
    for image in (made / "images").iterdir():
        (copies["images"] / image.name).write_bytes(image.read_bytes())
    return copies


def found(*paths: Path) -> dict[str, str]:
    """Causes by the names of the checks."""
    return {finding.check: finding.cause for finding in examine(paths)}


def replaced(path: Path, key: str, value: Any) -> None:
    with h5py.File(path, "r+") as h5:
        del h5[key]
        h5[key] = value


def test_sound_files_have_nothing(files: Files) -> None:
    assert found(*files.values()) == {}


def test_keypoints_in_half_precision_and_what_they_cost(files: Files) -> None:
    with h5py.File(files["f.h5"], "r+") as h5:
        keypoints, size = h5["0.png/keypoints"][:] * 8, h5["0.png/image_size"][:] * 8
    replaced(files["f.h5"], "0.png/keypoints", keypoints.astype(np.float16))
    replaced(files["f.h5"], "0.png/image_size", size)
    cause = found(files["f.h5"])["half-precision-keypoints"]
    assert "4 px apart at x or y = 4,800: they are off by up to 2 px, 1.15 px on average" in cause


def test_keypoints_outside_and_damaged_ones(files: Files) -> None:
    replaced(files["f.h5"], "0.png/keypoints", np.full((len_of(files, "0.png"), 2), 5000, np.float32))
    replaced(files["f.h5"], "1.png/keypoints", np.full((len_of(files, "1.png"), 2), np.nan, np.float32))
    causes = found(files["f.h5"])
    assert "(0.png)" in causes["outside"]
    assert "'1.png'" in causes["damaged"]


def len_of(files: Files, name: str) -> int:
    with h5py.File(files["f.h5"]) as h5:
        return len(h5[name]["keypoints"])


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_half_a_pixel_is_measured_against_the_images(files: Files, shift: float) -> None:
    with h5py.File(files["f.h5"], "r+") as h5:
        for name in h5:
            h5[name]["keypoints"][...] = h5[name]["keypoints"][:] + np.float32(shift)
    cause = found(files["f.h5"], files["images"])["half-pixel"]
    x, y = map(float, cause.split()[2:4])
    assert abs(x - shift) < 0.15
    assert abs(y - shift) < 0.15


def test_other_images_than_the_features_are_of(files: Files) -> None:
    image = cv2.imread(str(files["images"] / "0.png"))
    assert image is not None
    cv2.imwrite(str(files["images"] / "0.png"), image[:300])
    cv2.imwrite(str(files["images"] / "1.png"), 255 - image)
    (files["images"] / "2.png").unlink()
    causes = found(files["f.h5"], files["images"])
    assert "0.png 600x480, not 600x300" in causes["other-size"]
    assert causes["changed"].endswith("1.png")
    assert causes["vanished"].endswith("2.png")
    cv2.imwrite(str(files["images"] / "1.png"), np.rot90(image))
    assert "1.png 600x480, not 480x600" in found(files["f.h5"], files["images"])["turned"]


def test_descriptors_that_are_not_normalised(files: Files) -> None:
    replaced(files["f.h5"], "0.png/descriptors", np.full((64, len_of(files, "0.png")), 3, np.float32))
    assert "have not length 1, but 24" in found(files["f.h5"])["not-normalised"]


def test_entries_half_written(files: Files) -> None:
    with h5py.File(files["f.h5"], "r+") as h5:
        del h5["0.png/descriptors"]
    assert "0.png lacks descriptors" in found(files["f.h5"])["half-written"]


def test_matches_near_the_end_of_int16(files: Files) -> None:
    matches = np.full(32_700, -1, np.int16)
    replaced(files["m.h5"], "0.png/1.png/matches0", matches)
    replaced(files["m.h5"], "0.png/1.png/matching_scores0", np.zeros(32_700, np.float16))
    assert "0.png/1.png" in found(files["m.h5"])["int16-overflow"]


def test_matches_of_another_run(files: Files) -> None:
    n = len_of(files, "0.png")
    replaced(files["m.h5"], "0.png/1.png/matches0", np.arange(n) + 2000)
    assert "0.png 1.png" in found(files["f.h5"], files["m.h5"])["other-run"]
    replaced(files["m.h5"], "0.png/1.png/matches0", np.full(n, -1))
    causes = found(files["f.h5"], files["m.h5"])
    assert "0.png 1.png" in causes["no-match"]
    assert "2 images, and 1 alone (0.png)" in causes["disconnected"]
    with h5py.File(files["f.h5"], "r+") as h5:
        h5.move("2.png", "other.png")
    assert "1.png/2.png" in found(files["f.h5"], files["m.h5"])["unknown-images"]


def test_lists_against_images(files: Files) -> None:
    files["p.txt"].write_text("0.png nothing.png\n")
    causes = found(files["p.txt"], files["images"])
    assert "nothing.png" in causes["unknown-images"]
    assert "1.png, 2.png" in causes["unpaired"]


def test_folders_of_images(files: Files, tmp_path: Path) -> None:
    images = files["images"]
    (images / "copy.png").write_bytes((images / "0.png").read_bytes())
    (images / "a.mp4").touch()
    (images / "a").mkdir()
    for name in ("a/b.png", "a-b.png"):
        cv2.imwrite(str(images / name), np.zeros((9, 9 + len(name)), np.uint8))
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "0.png").write_bytes((images / "0.png").read_bytes())
    causes = found(images, masks)
    assert "0.png and copy.png" in causes["duplicates"]
    assert "1 video file is not read here" in causes["not-read"]
    assert "a-b.png and a/b.png" in causes["names-collide"]
    assert "1 masks fit no photograph" in causes["unmatched-masks"]


def test_databases(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    points = np.array([[1, 1], [2, 2], [700, 1]], np.float32)
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE cameras (camera_id INTEGER, width INTEGER, height INTEGER);"
            "CREATE TABLE images (image_id INTEGER, name TEXT, camera_id INTEGER);"
            "CREATE TABLE keypoints (image_id INTEGER, rows INTEGER, cols INTEGER, data BLOB);"
            "CREATE TABLE matches (pair_id INTEGER, rows INTEGER, cols INTEGER, data BLOB);"
            "CREATE TABLE two_view_geometries (pair_id INTEGER, rows INTEGER);"
            "INSERT INTO cameras VALUES (1, 640, 480);"
        )
        database.executemany("INSERT INTO images VALUES (?, ?, 1)", [(i, f"{i}.jpg") for i in (1, 2, 3, 4)])
        database.executemany("INSERT INTO keypoints VALUES (?, 3, 2, ?)", [(i, points.tobytes()) for i in (1, 2, 3)])
        for one, two, index, inliers in ((1, 2, 2, 1), (1, 3, 9, 1), (2, 3, 1, 0)):
            data = np.array([[0, index]], np.uint32).tobytes()
            pair = one * 2_147_483_647 + two
            database.execute("INSERT INTO matches VALUES (?, 1, 2, ?)", (pair, data))
            database.execute("INSERT INTO two_view_geometries VALUES (?, ?)", (pair, inliers))
    causes = found(path)
    assert causes["outside"].startswith("3 images")
    assert "1.jpg 3.jpg" in causes["other-run"]
    assert "4.jpg" in causes["no-keypoints"]
    assert "2.jpg 3.jpg" in causes["unverified"]
    assert "1 alone (4.jpg)" in causes["disconnected"]
    path.write_bytes(path.read_bytes()[:3000])
    assert "damaged" in found(path)["unreadable"]


def test_components() -> None:
    assert components("abcdef", [("a", "b"), ("b", "c"), ("e", "f"), ("e", "?")]) == [
        ["a", "b", "c"],
        ["e", "f"],
        ["d"],
    ]


def test_the_command(files: Files) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xfeat_cli", "doctor", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True)

    sound = run(files["f.h5"], files["m.h5"])
    assert (sound.returncode, sound.stdout) == (0, "nothing wrong found\n")
    files["p.txt"].write_text("0.png 1.png\n")
    warned = run(files["f.h5"], files["p.txt"])
    assert warned.returncode == 1
    assert "warning:" in warned.stdout
    assert "remedy:" in warned.stdout
    (files["p.txt"].parent / "x.bin").write_bytes(bytes(range(256)))
    failed = run("--json", files["p.txt"].parent / "x.bin", files["f.h5"])
    assert failed.returncode == 2
    [line] = failed.stdout.splitlines()
    assert json.loads(line)["check"] == "unknown"
    assert run("nowhere.h5").returncode == 2
