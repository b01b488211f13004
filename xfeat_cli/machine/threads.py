"""One image to a core: several at once, each on one thread.

Threads that share one image wait for each other at every layer, which on a busy machine costs several times the work.
And the result of an image depends on nothing but the image: torch's kernels may round differently on more threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import cv2
import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within the block, torch computes on the calling thread alone."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_threaded_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield `count` threads whose torch operations run on the calling thread alone.

    Threads within an operation wait for one another at the end of each, of which there are hundreds. With one thread
    the sums of a product are the same whatever the machine's number of cores.

    Leaving the block early, by an exception, drops the calls that have not begun.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "xfeat", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        # Each thread's number is its own, but the last one set is also what threads to come begin with.
        torch.set_num_threads(before)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[tuple[Item, Future[Result]], None, None]:
    """Yield each item with the finished call of the function on it, in the items' order; `workers` run at once.

    Items are taken, and results held, at most a few ahead. While it runs, torch has one thread in each worker, and
    OpenCV, whose threads are the process's, one in all: of two where one feeds the other, that one is to close first.
    """
    before = cv2.getNumThreads()
    pending: deque[tuple[Item, Future[Result]]] = deque()
    cv2.setNumThreads(1)
    try:
        with single_threaded_pool(workers) as pool:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) == 2 * workers:
                    yield _finished(pending)
            while pending:
                yield _finished(pending)
    finally:
        cv2.setNumThreads(before)


def _finished(pending: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Future[Result]]:
    wait([pending[0][1]])
    return pending.popleft()
