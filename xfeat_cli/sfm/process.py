"""Run a piece of pycolmap's work in a process of its own.

C++ hears of no signal before it returns, and where a disk is full it ends its process with a stack of calls. In a child
process it can be ended at any moment, and fails alone. What it writes is a file that has no name yet.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, TypeVar

from xfeat_cli.errors import SfmError, XFeatError

Result = TypeVar("Result")
Listen = Callable[[Any], None]
"""Told of progress, by whatever the work sends."""

TICK_SECONDS = 0.5

_PROGRAM = """import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from xfeat_cli.sfm.process import _serve
_serve()"""
_LITTLE_SPACE = 1 << 20
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


def in_child(
    work: Callable[..., Result],
    *arguments: Any,
    place: Path,
    doing: str,
    listen: Listen | None = None,
    tick: Callable[[], None] | None = None,
) -> Result:
    """Call a module's function in a child process, as `work(*arguments, listen=…)`, and return its result.

    place: what is written, and doing: in which words, for messages. listen: gets what the work sends. tick: called
    every half second meanwhile. The child ends when this call is left, by whatever exception.
    Raises what the work raises, and SfmError when the child fails or is killed.
    """
    with tempfile.TemporaryFile() as log:
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        except OSError as error:
            raise SfmError(f"no process can be started for {doing} ({error.strerror or error})") from None
        assert child.stdin is not None
        messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        reader = threading.Thread(target=_read, args=(child.stdout, messages), daemon=True)
        reader.start()
        try:
            _ask(child.stdin, work, arguments)
            kind, value = _answer(messages, listen, tick)
        finally:
            child.kill()
            code = child.wait()
            with suppress(OSError):
                child.stdin.close()
            reader.join()
        if kind == "result":
            return value  # type: ignore[no-any-return]
        if kind == "raised":
            raise value
        log.seek(0)
        raise _failure(place, doing, value or f"it ended with {_ending(code)}", log.read().decode("utf-8", "replace"))


def _ask(stream: IO[bytes], work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with suppress(BrokenPipeError):  # it has ended: there will be no answer
        pickle.dump(sys.path, stream)
        pickle.dump((work, arguments), stream)
        stream.flush()


def _read(stream: IO[bytes], messages: SimpleQueue[tuple[str, Any]]) -> None:
    """Pass on what a child sends; an ended one sends nothing more."""
    with stream:
        try:
            while True:
                messages.put(pickle.load(stream))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            messages.put(("ended", ""))


def _answer(
    messages: SimpleQueue[tuple[str, Any]], listen: Listen | None, tick: Callable[[], None] | None
) -> tuple[str, Any]:
    while True:
        try:
            kind, value = messages.get(timeout=TICK_SECONDS)
        except Empty:
            if tick is not None:
                tick()
            continue
        if kind != "progress":
            return kind, value
        if listen is not None:
            listen(value)


def _failure(place: Path, doing: str, reason: str, log: str) -> SfmError:
    """Return what a user can act on, from the reason that was given and what was printed."""
    told = f"{reason}\n{log}"
    if "disk is full" in told or "No space left" in told or _space(place) < _LITTLE_SPACE:
        return SfmError(f"{place} cannot be written: its disk is full; make room, then run the same command again")
    if "disk I/O error" in told:
        return SfmError(
            f"{place} cannot be written (disk I/O error): look at its disk and at limits on the size of files, then "
            "run the same command again"
        )
    if "database is locked" in told:
        return SfmError(f"{place}: another program has the database open; close it, then run the same command again")
    if "bad_alloc" in told:
        return SfmError(f"there is too little memory for {doing}; free some, or give fewer images or threads")
    printed = log.split("*** Aborted")[0]  # then comes the stack
    lines = [line for line in map(_without_place, printed.splitlines()) if line]
    detail = lines[-1] if reason.startswith("it ended") and lines else reason
    return SfmError(f"COLMAP failed while {doing} ({' '.join(detail.split())[:300]}); run the same command again")


def _without_place(line: str) -> str:
    """Return a line of COLMAP's log without time, thread and place in its source."""
    return re.sub(r"^[IWEF]\d{8} [\d:.]+ +\d+ \S+\] ", "", line).strip()


def _space(place: Path) -> int:
    try:
        return shutil.disk_usage(place.parent).free
    except OSError:
        return _LITTLE_SPACE


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "a kill from outside, perhaps for lack of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _serve() -> None:
    """The child: do one piece of work, answer, end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of Ctrl-C, and ends its child
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C++ prints is no answer

    def send(kind: str, value: Any) -> None:
        pickle.dump((kind, value), answers)
        answers.flush()

    work, arguments = pickle.load(sys.stdin.buffer)
    from xfeat_cli.sfm.engine import pycolmap

    try:
        logging = pycolmap().logging
        logging.logtostderr = True
        logging.minloglevel = int(logging.Level.WARNING)
        answer = ("result", work(*arguments, listen=lambda value: send("progress", value)))
    except XFeatError as error:
        answer = ("raised", error)
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        answer = ("failed", str(error) or type(error).__name__)
    send(*answer)
    os._exit(0)  # the parent has what it wants; a destructor that fails now would only print


def _end_with_parent() -> None:
    """Let the child not outlive its parent, which may be killed at any moment."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
