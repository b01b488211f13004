"""What a command says while it runs, and the log of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.cli.terminal.console import JobConsole
from xfeat_cli.jobs.progress import Report, Status, Summary


def _xfeat(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xfeat_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_log_holds_the_command_its_words_and_its_end(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((64, 64), np.uint8))
    log = tmp_path / "run.log"
    log.write_text("an earlier line\n")
    done = _xfeat("--log", log, "pairs", "exhaustive", tmp_path, "-o", tmp_path / "pairs.txt")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    assert lines[0] == "an earlier line"
    assert " xfeat --log " in lines[1]
    assert [line.split(" ", 1)[1] for line in lines[2:-1]] == done.stderr.splitlines()
    assert " ended after " in lines[-1]


def test_an_error_is_in_the_log(tmp_path: Path) -> None:
    done = _xfeat("--log", tmp_path / "run.log", "inspect", tmp_path / "missing.h5")
    assert done.returncode == 2
    assert "missing.h5 does not exist" in (tmp_path / "run.log").read_text()


def test_a_log_replaces_nothing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    done = _xfeat("--log", tmp_path / "a.png", "inspect", tmp_path / "missing.h5")
    assert done.returncode == 2
    assert "left alone" in done.stderr
    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_a_problem_is_named_once_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    console = JobConsole("image", "keypoints", as_json=False, quiet=False, verbose=False)
    console.begin("loading nothing")
    summary = Summary("out.h5", total=2, done=1, failures=[("a.jpg", "a.jpg: damaged")])
    console.start(2)
    console.update(Report("a.jpg", Status.FAILED, error="a.jpg: damaged"))
    assert console.finish(summary, "xfeat match pairs.txt") == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "loading nothing …"
    assert sum("a.jpg" in line for line in lines) == 1
    assert any("1 done, 0 already there, 1 failed" in line for line in lines)
    assert lines[-1] == "next: xfeat match pairs.txt"


def test_quiet_and_json_have_no_next_line(capfd: pytest.CaptureFixture[str]) -> None:
    for as_json, quiet in ((True, False), (False, True)):
        console = JobConsole("image", "keypoints", as_json=as_json, quiet=quiet, verbose=False)
        console.finish(Summary("out.h5", total=1, done=1), "xfeat match pairs.txt")
        assert "next:" not in capfd.readouterr().err
