"""Write a job's results behind its work: one thread, a short queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

from xfeat_cli.jobs.progress import Summary
from xfeat_cli.store.writer import Store


class Writer:
    """Runs the given calls one after another on a thread of its own.

    `put` waits while the queue is full, so memory stays flat, and raises what an earlier call raised. Leaving the
    `with` block waits for all calls; on an exception inside the block the calls already queued still run.
    """

    def __init__(self, capacity: int = 8) -> None:
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(capacity)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="xfeat-writer", daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def put(self, call: Callable[[], None]) -> None:
        if self._error:
            raise self._error
        self._calls.put(call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.put(None)
        self._thread.join()
        if self._error and error is None:
            raise self._error

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if self._error is None:
                try:
                    call()
                except BaseException as error:  # handed to the thread that calls `put`
                    self._error = error


def conclude(store: Store, summary: Summary) -> None:
    """Give the file its name, or leave none where nothing was done."""
    if summary.nothing_done:
        store.discard()
    else:
        store.finish()
