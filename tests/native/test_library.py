"""Which file of the library is used, and that everything works without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xfeat_cli.native import library as loading
from xfeat_cli.native.library import LEVELS, SWITCH, supported_levels

ROOT = Path(__file__).parents[2]


def _level(value: str) -> str:
    program = "from xfeat_cli.native.library import level; print(level())"
    environment = os.environ | {SWITCH: value, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def test_it_can_be_switched_off_and_bounded() -> None:
    assert _level("off") == "none"
    best = supported_levels()[-1] if supported_levels() else "none"
    assert _level("") == best
    assert _level("plain") == ("plain" if supported_levels() else "none")


def test_without_its_files_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loading, "path_of", lambda level: tmp_path / level)
    assert supported_levels() == ()
    (tmp_path / "plain").write_bytes(b"no library")
    assert loading.supported_levels() == ()


def _build_script() -> dict:
    import runpy

    return runpy.run_path(str(ROOT / "native" / "build.py"))


def test_the_build_knows_the_same_levels() -> None:
    assert tuple(_build_script()["LEVELS"]) == LEVELS


def test_without_a_compiler_nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _build_script()["build"](tmp_path) == []
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    assert _build_script()["build"](tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path) -> None:
    assert _build_script()["build"](tmp_path, ("-no-such-option",)) == []
    assert list(tmp_path.iterdir()) == []
