"""Several images or pairs at once on a CPU: a thread for each, and within it no others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def single_threaded_pool(count: int) -> Iterator[ThreadPoolExecutor]:
    """`count` threads whose torch operations run on the calling thread alone.

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
