"""Kill −9 at random moments, run the same command again: the result equals that of an uninterrupted run."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

IMAGES = 400
KILLS = 40


def entries(path: Path) -> dict[str, bytes]:
    found = {}
    with h5py.File(path) as h5:

        def visit(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item[()].tobytes() + repr(sorted(item.parent.attrs.items())).encode()

        h5.visititems(visit)
        found["/"] = repr(sorted(h5.attrs.items())).encode()
    return found


def run_and_kill(command: list[str], output: Path, rng: random.Random, kills: int) -> int:
    """Run the command until it ends by itself, killing it at most `kills` times; returns how often it was killed."""
    killed = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if killed < kills:
            deadline = time.monotonic() + rng.uniform(0.3, 5)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            if process.poll() is None:
                process.kill()
                process.communicate()
                killed += 1
                if output.exists():
                    entries(output)
                continue
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()
        if killed >= kills:
            return killed
        output.unlink()


@pytest.mark.slow
def test_random_kills_lose_nothing(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(IMAGES):
        noise = np.random.default_rng(i).integers(0, 255, (80 + i % 3 * 8, 120), np.uint8)
        cv2.imwrite(str(images / f"{i:03}.png"), cv2.resize(noise, (480, 320), interpolation=cv2.INTER_CUBIC))
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"{i:03}.png {i + d:03}.png\n" for i in range(IMAGES - 4) for d in (1, 2, 3, 4)))

    def extract(out: Path) -> list[str]:
        return [sys.executable, "-m", "xfeat_cli", "extract", str(images), str(out), "--top-k", "1000", "--quiet"]

    def match(out: Path) -> list[str]:
        return [sys.executable, "-m", "xfeat_cli", "match", str(pairs), "-f", str(whole), "-o", str(out), "--quiet"]

    rng = random.Random(0)
    whole, killed = tmp_path / "whole.h5", tmp_path / "killed.h5"
    subprocess.run(extract(whole), check=True)
    kills = run_and_kill(extract(killed), killed, rng, KILLS // 2)
    assert entries(killed) == entries(whole)

    whole_matches, killed_matches = tmp_path / "whole-matches.h5", tmp_path / "killed-matches.h5"
    subprocess.run(match(whole_matches), check=True)
    kills += run_and_kill(match(killed_matches), killed_matches, rng, KILLS // 2)
    assert entries(killed_matches) == entries(whole_matches)
    assert kills == KILLS
    assert not list(tmp_path.glob("*.partial*"))
