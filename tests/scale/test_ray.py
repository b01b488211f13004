"""A Ray cluster on this machine: the result equals that of one process, though a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.pairing.lists import exhaustive, write_pairs

from ..hdf5_content import content

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: it comes with the extra [ray]")


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "xfeat_cli", *arguments, "--device", "cpu", "--quiet"]
    return subprocess.Popen(program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _workers(driver: int) -> list[int]:
    """Worker processes that Ray runs for a driver's session, by their titles, below the driver."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[pid] = (folder / "cmdline").read_text()
        except (OSError, ValueError):
            continue

    def is_below(pid: int) -> bool:
        while pid in parents and pid != driver:
            pid = parents[pid]
        return pid == driver

    return [pid for pid, title in titles.items() if title.startswith("ray::_Worker") and is_below(pid)]


@needs_ray
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are found through /proc")
def test_a_killed_worker_changes_nothing(tmp_path: Path, photograph: np.ndarray) -> None:
    names = [f"{number}.png" for number in range(6)]
    (tmp_path / "images").mkdir()
    for number, name in enumerate(names):
        cv2.imwrite(str(tmp_path / "images" / name), photograph[8 * number : 8 * number + 96, :128])
    write_pairs(tmp_path / "pairs.txt", exhaustive(names))
    whole = _start(tmp_path, "extract", "images", "whole.h5", "--top-k", "40")
    driver = _start(tmp_path, "extract", "images", "out.h5", "--top-k", "40", "--ray", "local", "--workers", "2")
    until = time.monotonic() + 120
    while not (found := _workers(driver.pid)) and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert found, driver.communicate()[1]
    os.kill(found[0], signal.SIGKILL)
    _, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    _, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    assert content(tmp_path / "out.h5") == content(tmp_path / "whole.h5")


def test_without_ray_there_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((64, 64), np.uint8))
    (tmp_path / "ray.py").write_text("raise ImportError('no ray here')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    run = subprocess.run(
        [sys.executable, "-m", "xfeat_cli", "extract", "images", "out.h5", "--ray", "local"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    errors = [line for line in run.stderr.splitlines() if line.startswith("xfeat: ")]
    assert errors == ["xfeat: --ray local needs Ray (no ray here); install it with: pip install 'xfeat-cli[ray]'"]
