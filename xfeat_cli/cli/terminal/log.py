"""`--log FILE`: what a command says on stderr, line by line with the time, after what was called."""

from __future__ import annotations

import atexit
import shlex
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TextIO

from xfeat_cli.errors import UsageError
from xfeat_cli.version import __version__


def start(path: Path) -> None:
    """Write to the end of a file from now on, besides stderr. Raises UsageError when it is no text or not writable."""
    from xfeat_cli.files import FileKind, check_output

    check_output(path, FileKind.TEXT)
    try:
        file = open(path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"--log {path} cannot be written ({error.strerror or error})") from None
    log = _Log(sys.stderr, file)
    log.line(f"xfeat {__version__}: xfeat {shlex.join(sys.argv[1:])}")
    sys.stderr = log  # type: ignore[assignment]
    started = time.monotonic()
    atexit.register(lambda: log.end(f"ended after {time.monotonic() - started:.1f} s"))


class _Log:
    """A stderr that keeps a copy; of progress bars, which overwrite themselves, nothing is kept."""

    def __init__(self, stderr: TextIO, file: IO[str]) -> None:
        self._stderr = stderr
        self._file = file
        self._pending = ""

    def write(self, text: str) -> int:
        written = self._stderr.write(text)
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self.line(line.rpartition("\r")[2])
        return written

    def line(self, text: str) -> None:
        """Keep a line, with the time before it."""
        if text.strip() and not self._file.closed:
            self._file.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")

    def end(self, text: str) -> None:
        """Keep what is left and a last line."""
        self.line(self._pending.rpartition("\r")[2])
        self.line(text)
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stderr, name)
