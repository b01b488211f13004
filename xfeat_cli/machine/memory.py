"""What glibc does with freed memory: keep it for the next image, or give it back. Elsewhere, nothing."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_BYTES = (1 << 30, 32 << 20)
"""What glibc is asked for; some versions refuse more than the second."""


@cache
def keep_freed_memory() -> None:
    """Keep freed blocks of up to a gigabyte.

    By default it gives large blocks back to the system and asks for them again at the next image: page faults that
    take a tenth of the time of detection on a CPU. The most memory that a process ever holds stays the same.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        any(mallopt(option, size) for size in _BYTES)


def give_back_freed_memory() -> None:
    """Give free pages back to the system.

    torch's aligned blocks of a few hundred kilobytes leave holes between longer-lived ones that glibc before 2.38 does
    not fill again: over many pairs they would add up to several times the memory in use.
    """
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
