"""Ctrl-C and SIGTERM: one line, exit code 130 or 143, within two seconds whatever the machine is at.

The signal raises `Interrupted` in the main thread, so that a job commits what it has done. C++ code hears of no
signal before it returns, and threads finish the image they are at: a process that has not ended in good order after
`GRACE_SECONDS` ends at once. Nothing is lost by that, since every file is whole at any moment.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

GRACE_SECONDS = 1.2
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_lock = threading.Lock()
_advice = ""
_said = False
_interrupted = False


class Interrupted(BaseException):
    """Not a KeyboardInterrupt: click would turn that into `Aborted!` and exit code 1."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def install() -> None:
    """Handle both signals from now on; to be called by the main thread."""
    global _interrupted, _said
    _interrupted = _said = False
    if signal.getsignal(signal.SIGINT) is _stop:
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(receiver, sender), name="interrupts", daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _stop)


def ending() -> None:
    """From now on a signal ends the process at once: there is nothing left to save."""
    global _interrupted
    _interrupted = True


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Add, within the block, to what an interrupted user is told besides that."""
    global _advice
    before, _advice = _advice, advice
    try:
        yield
    except Interrupted:
        say()
        raise
    finally:
        _advice = before


def say() -> None:
    """Print the one line, the first time."""
    global _said
    with _lock:
        if _said:
            return
        _said = True
        line = f"xfeat: interrupted{'; ' if _advice else ''}{_advice}\n"
        with suppress(OSError):
            os.write(2, line.encode("utf-8", "backslashreplace"))


def _stop(number: int, frame: FrameType | None) -> None:
    global _interrupted
    if _interrupted:
        _end(number)
    _interrupted = True
    raise Interrupted(number)


def _end_in_time(receiver: socket.socket, sender: socket.socket) -> None:
    """The interpreter writes each signal's number to the socket at once, also while the main thread is in C++."""
    while (number := receiver.recv(1)[0]) not in SIGNALS:
        pass
    time.sleep(GRACE_SECONDS)
    _end(number)


def _end(number: int) -> None:
    say()
    os._exit(128 + number)
