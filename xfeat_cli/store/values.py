"""Which values of an untrusted HDF5 file are believed: the one place where they are read and checked.

Nothing outside the file is opened. No claim is believed that the bytes it is stored in do not bear out, no number that
is not finite or lies beyond any photograph, and no index is cast before its range is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from xfeat_cli.errors import StoreError, one_line

HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError)
"""What h5py raises for a damaged file, depending on where the damage is."""

# Claims beyond these are damage or malice: a 300-megapixel image has 4.7 million network cells.
MAX_ROWS = 10_000_000
MAX_BYTES = 4 << 30
MAX_COORDINATE = 1e6
"""Pixels; no image is so large, by far."""
MAX_NUMBER = 1e30
"""Of descriptors, scores and the like: what float32 holds and can still square."""

_FREE_BYTES = 1 << 20
_BYTES_PER_STORED = 64
"""What compression may gain beyond the first `_FREE_BYTES`: constant values gain a thousand."""

_MAX_DEPTH = 64
"""Folders in an image's name."""
_LEAST_LINK_BYTES = 8
"""In a file, for every name in it."""


def read_values(dataset: h5py.Dataset, kinds: str, shape: tuple[int | None, ...], most: float) -> np.ndarray:
    """Return a dataset's values. Raises StoreError, which says what is wrong with it.

    kinds: what its dtype may be, of "fiu". shape: None = any length. most: the largest value that a float may have.
    """
    try:
        problem = check_dataset(dataset)
        if dataset.dtype.kind not in kinds:
            problem = problem or f"holds {dataset.dtype}"
        fits = len(dataset.shape) == len(shape) and all(
            wanted in (None, there) for there, wanted in zip(dataset.shape, shape, strict=True)
        )
        if not fits:
            problem = problem or f"has shape {dataset.shape}"
        if problem is None:
            values = dataset[()]
            if values.dtype.kind != "f" or _is_within(values, most):
                return np.asarray(values)
            problem = "holds numbers that are not finite or beyond all measure"
    except HDF5_ERRORS as error:
        problem = f"cannot be read ({error})"
    raise StoreError(problem)


def check_dataset(dataset: h5py.Dataset) -> str | None:
    """Return what forbids reading a dataset of an untrusted file, or None."""
    if dataset.shape is None:
        return "is empty"
    if dataset.external or dataset.is_virtual:
        return "lies in another file"
    if dataset.dtype.kind not in "fiu":
        return f"holds {dataset.dtype}"
    if max(dataset.shape or (0,)) > MAX_ROWS or dataset.nbytes > MAX_BYTES:
        return f"claims the absurd shape {dataset.shape}"
    stored = dataset.id.get_storage_size()
    if dataset.nbytes and not stored:
        return "holds no data"
    if dataset.chunks is not None:
        wanted = math.prod(-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        if dataset.id.get_num_chunks() < wanted:
            return "holds only a part of its data"
        if math.prod(dataset.chunks) * dataset.dtype.itemsize > max(_FREE_BYTES, 2 * dataset.nbytes):
            return f"is stored in pieces of the absurd shape {dataset.chunks}"
    if dataset.nbytes > _FREE_BYTES and dataset.nbytes > _BYTES_PER_STORED * stored:
        return f"claims {dataset.nbytes:,} bytes and stores {stored:,}"
    return None


def checked_indices(indices: np.ndarray) -> np.ndarray:
    """Map matches0 (N0,) of any integer type → int32, every negative number −1 = unmatched.

    Raises StoreError for an index that no image has, and for a keypoint of image 1 that is matched twice.
    """
    if len(indices) and int(indices.max()) >= MAX_ROWS:
        raise StoreError(f"refers to keypoint {int(indices.max()):,}, which no image has")
    matched = indices[indices >= 0]
    if len(np.unique(matched)) < len(matched):
        raise StoreError("matches a keypoint of image 1 twice")
    return np.where(indices >= 0, indices, -1).astype(np.int32)


def checked_size(size: np.ndarray) -> tuple[int, int]:
    """Map image_size (2,) of any type → (width, height). Raises StoreError."""
    values = [float(side) for side in size]
    if not all(math.isfinite(side) and 0 <= side <= MAX_COORDINATE and side == int(side) for side in values):
        raise StoreError(f"is {values}, which no image has")
    return int(values[0]), int(values[1])


def _is_within(values: np.ndarray, most: float) -> bool:
    """Return whether all are finite and at most `most`, which NaN is not."""
    if not values.size:
        return True
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.abs(values).max()) <= most


def groups(h5: h5py.File) -> dict[str, tuple[str, ...]]:
    """Return every group but the root, with the names of the datasets it directly holds; "" stands for the root if it
    has any.

    Only what the file itself holds: soft and external links are not followed. A group that was met before, or lies
    deeper than any image's name, ends the walk there, so that damage cannot make it endless. Raises `HDF5_ERRORS`.
    """
    found: dict[str, tuple[str, ...]] = {}
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    seen: set[Any] = set()
    names_left = [h5.id.get_filesize() // _LEAST_LINK_BYTES]
    stack: list[tuple[Any, str, int]] = [(h5["/"].id, "", 0)]
    while stack:
        group, name, depth = stack.pop()
        keys, inside = [], []
        for key, kind, address in _hard_links(group, names_left):
            path = f"{name}/{key}" if name else key
            if kind == h5py.h5o.TYPE_DATASET:
                keys.append(key)
            elif kind == h5py.h5o.TYPE_GROUP and address not in seen and depth < _MAX_DEPTH:
                seen.add(address)
                inside.append((h5py.h5g.open(group, key.encode("utf-8", "surrogateescape")), path, depth + 1))
        stack += reversed(inside)
        if name or keys:
            ordered = tuple(sorted(keys))
            found[name] = known.setdefault(ordered, ordered)
    return found


def _hard_links(group: Any, names_left: list[int]) -> Iterator[tuple[str, int, Any]]:
    """Yield names of a group's members, with the kind and the address of each. names_left: how many the file
    can have.
    """
    names: list[bytes] = []

    def collect(name: bytes, info: Any) -> bool | None:
        names_left[0] -= 1
        if info.type == h5py.h5l.TYPE_HARD:
            names.append(name)
        return True if names_left[0] < 0 else None

    group.links.iterate(collect, info=True)
    if names_left[0] < 0:
        raise ValueError("more names than the file has room for")
    for name in names:
        info = h5py.h5o.get_info(group, name)
        yield name.decode("utf-8", "surrogateescape"), info.type, (info.fileno, info.addr)


def python_attributes(item: h5py.HLObject) -> dict[str, Any]:
    """Return attributes as str, int, float, or nested lists of them; of any other type, a str that says so."""
    found = {}
    for number in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=number)
        key = attribute.name.decode("utf-8", "backslashreplace")
        try:
            found[key] = _python_value(item.attrs[attribute.name])
        except HDF5_ERRORS as error:
            found[key] = f"unreadable ({one_line(str(error))})"
    return found


def _python_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [_python_value(part) for part in value]
    return value if isinstance(value, str | int | float) else f"unreadable ({type(value).__name__})"
