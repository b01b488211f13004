"""A guard against one kind of damage that HDF5's library (up to 2.0) follows for ever.

Strings of variable length lie in global heap collections. The library walks a collection by the sizes that its objects
state; a free object of size 0 does not advance it.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

LARGEST_CHECKED = 64 << 20
"""Bytes. Looking through a larger file would take longer than opening it."""

_SIGNATURE = b"GCOL\x01\0\0\0"
_COLLECTION = struct.Struct("<8sQ")
_OBJECT = struct.Struct("<HHIQ")


def has_endless_heap(path: Path) -> bool:
    """Return whether a file of at most `LARGEST_CHECKED` bytes would keep HDF5's library for ever. Raises OSError."""
    size = path.stat().st_size
    if not 0 < size <= LARGEST_CHECKED:
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_SIGNATURE)
        while start >= 0:
            if _is_endless(data, start):
                return True
            start = data.find(_SIGNATURE, start + 1)
    return False


def _is_endless(data: mmap.mmap, start: int) -> bool:
    if start + _COLLECTION.size > len(data):
        return False
    end = min(start + _COLLECTION.unpack_from(data, start)[1], len(data))
    at = start + _COLLECTION.size
    while at + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(data, at)
        step = (_OBJECT.size + (size + 7) // 8 * 8) if index else size
        if step % (1 << 64) == 0:
            return True
        at += step
    return False
