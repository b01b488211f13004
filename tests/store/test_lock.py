from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from xfeat_cli.errors import LockedError
from xfeat_cli.files import warn_once
from xfeat_cli.store.lock import OutputLock


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with (
        OutputLock(tmp_path / "out.h5"),
        pytest.raises(LockedError, match=rf"another process \(process {os.getpid()} on .*\); wait"),
    ):
        OutputLock(tmp_path / "out.h5")
    OutputLock(tmp_path / "out.h5").release()


def test_a_link_and_its_target_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "out.h5")
    with OutputLock(tmp_path / "out.h5"), pytest.raises(LockedError):
        OutputLock(tmp_path / "link.h5")


def test_the_lock_of_a_killed_process_does_not_block(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from xfeat_cli.store.lock import OutputLock; "
        "lock = OutputLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out.h5")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"process {process.pid} "):
        OutputLock(tmp_path / "out.h5")
    process.kill()
    process.communicate()
    OutputLock(tmp_path / "out.h5").release()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_locks_work_goes_on_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(lock: filelock.BaseFileLock, blocking: bool) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            OutputLock(tmp_path / "out.h5").release()
    assert [record.getMessage().split("(")[0] for record in caplog.records] == [
        f"the file system of {tmp_path} refuses locks "
    ]
