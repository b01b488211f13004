"""Keep the memory that one image needed for the next one."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_BYTES = (1 << 30, 32 << 20)
"""What glibc is asked for; some versions refuse more than the second."""


@cache
def keep_freed_memory() -> None:
    """Have glibc keep freed blocks of up to a gigabyte; elsewhere, nothing.

    By default it gives large blocks back to the system and asks for them again at the next image: page faults that
    take a tenth of the time of detection on a CPU. The most memory that a process ever holds stays the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        any(mallopt(option, size) for size in _BYTES)
