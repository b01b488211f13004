"""Work in a child process: results, errors, and an end at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.sfm.process import in_child

pytest.importorskip("pycolmap", reason="COLMAP's work needs the extra [sfm]")

Listen = Callable[[Any], None]


def add(one: int, two: int, *, listen: Listen) -> int:
    print("to be seen by nobody")
    listen(one)
    return one + two


def refuse(*, listen: Listen) -> None:
    raise UsageError("no such thing")


def fail(reason: str, *, listen: Listen) -> None:
    raise RuntimeError(reason)


def crash(*, listen: Listen) -> None:
    os.write(2, b"terminate called after throwing an instance\n  what(): it went wrong\n")
    os.kill(os.getpid(), signal.SIGABRT)


def sleep(mark: Path, *, listen: Listen) -> None:
    mark.write_text(str(os.getpid()))
    time.sleep(60)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_results_progress_and_our_own_errors_come_back(tmp_path: Path) -> None:
    heard: list[int] = []
    assert in_child(add, 2, 3, place=tmp_path / "x", doing="adding", listen=heard.append) == 5
    assert heard == [2]
    with pytest.raises(UsageError, match="no such thing"):
        in_child(refuse, place=tmp_path / "x", doing="refusing")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("SQLite error: database or disk is full", "its disk is full; make room, then run the same command again"),
        ("SQLite error: disk I/O error", "limits on the size of files"),
        ("SQLite error: database is locked", "another program has the database open"),
        ("std::bad_alloc", "too little memory for failing"),
        ("odd\nthing", r"COLMAP failed while failing \(odd thing\)"),
    ],
)
def test_what_cplusplus_says_becomes_one_line_with_a_remedy(tmp_path: Path, reason: str, message: str) -> None:
    with pytest.raises(SfmError, match=message) as raised:
        in_child(fail, reason, place=tmp_path / "x", doing="failing")
    assert "\n" not in str(raised.value)


def test_a_crash_is_one_line_without_its_stack(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SfmError, match=r"failed while crashing \(what\(\): it went wrong\)"):
        in_child(crash, place=tmp_path / "x", doing="crashing")
    assert capfd.readouterr() == ("", "")


def test_an_interruption_ends_the_child_at_once(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def interrupt() -> None:
        if mark.exists() and mark.read_text():
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_child(sleep, mark, place=mark, doing="sleeping", tick=interrupt)
    assert time.monotonic() - started < 50
    assert not _is_alive(int(mark.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at a parent's end is Linux's")
def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program = (
        "import sys, pathlib; from xfeat_cli.sfm.process import in_child; from tests.sfm.test_process import sleep; "
        "p = pathlib.Path(sys.argv[1]); in_child(sleep, p, place=p, doing='sleeping')"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", program, str(mark)], cwd=root)
    while not (mark.exists() and mark.read_text()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child = int(mark.read_text())
    until = time.monotonic() + 20
    while _is_alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_alive(child)


def test_sigterm_keeps_the_handler_it_had(tmp_path: Path) -> None:
    """glog, which comes with pycolmap, would print a stack."""
    program = (
        "import os, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); "
        "from xfeat_cli.sfm.engine import pycolmap; pycolmap(); os.kill(os.getpid(), signal.SIGTERM); signal.pause()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (3, b"")
