"""`--shard` and `xfeat merge` as a shell script uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np


def _xfeat(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "xfeat_cli", *arguments]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


def test_two_shards_and_a_merge(tmp_path: Path, photograph: np.ndarray) -> None:
    (tmp_path / "images").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), photograph[8 * number : 8 * number + 96, :128])
    for part in ("1/3", "2/3", "3/3"):
        done = _xfeat(tmp_path, "extract", "images", "out.h5", "--shard", part, "--device", "cpu", "--top-k", "30")
        assert done.returncode == 0, done.stderr
    assert "part 1/3 is empty" in _xfeat(tmp_path, "extract", "images", "out.h5", "--shard", "1/3").stderr
    merged = _xfeat(tmp_path, "merge", "out.h5")
    assert (merged.returncode, (tmp_path / "out.h5").is_file()) == (0, True), merged.stderr
    wrong = _xfeat(tmp_path, "extract", "images", "out.h5", "--shard", "4/3")
    assert wrong.returncode == 2
    assert [line.startswith("xfeat: --shard 4/3") for line in wrong.stderr.splitlines()].count(True) == 1
    assert _xfeat(tmp_path, "merge", "nothing.h5").returncode == 2
