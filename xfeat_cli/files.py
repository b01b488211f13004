"""The one way to write an output: it appears whole or not at all, and never in place of what it must not replace.

The content goes into a temporary file of its own beside the target, is synced, and takes the target's name by an
atomic rename. A symbolic link is written through. A device or a FIFO is written directly, `-` is stdout.

An output replaces a file only if that is empty or of the same kind: a list of pairs never replaces a photograph,
whatever the options. It never replaces an input of the same command, by any spelling of its path.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import BinaryIO

from xfeat_cli.errors import UsageError

logger = logging.getLogger(__name__)

STDOUT = Path("-")

_LOOKED_AT = 4096
"""Bytes at the beginning of a file that tell its kind."""

_UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
"""How file systems (NFS, SMB, some FUSE) refuse to sync a folder; the rename itself has happened."""


class FileKind(str, Enum):
    """What a file holds, told by its first bytes; the value names it to the user."""

    EMPTY = "nothing"
    TEXT = "text"
    PNG = "a PNG image"
    HDF5 = "an HDF5 file"
    SAFETENSORS = "a safetensors file"
    CHECKPOINT = "a zip archive"
    DATABASE = "an SQLite database"
    OTHER = "data of another kind"


_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", FileKind.PNG),
    (b"\x89HDF\r\n\x1a\n", FileKind.HDF5),
    (b"PK\x03\x04", FileKind.CHECKPOINT),
    (b"SQLite format 3\0", FileKind.DATABASE),
)


def file_kind(path: Path) -> FileKind:
    """The kind of an existing regular file. Raises OSError."""
    with open(path, "rb") as file:
        head = file.read(_LOOKED_AT)
    if not head:
        return FileKind.EMPTY
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= os.path.getsize(path):
        return FileKind.SAFETENSORS
    return FileKind.TEXT if _is_text(head) else FileKind.OTHER


def check_output(path: Path, kind: FileKind | None, inputs: Iterable[Path] = ()) -> None:
    """Raise UsageError where writing `path` would destroy an input, a folder, or a file of another kind than `kind`.

    kind: None where any file of that name is ours, as in the cache folder.
    """
    if path == STDOUT:
        return
    for source in inputs:
        if _is_same(path, source):
            raise UsageError(f"{path} is an input of this command and would be overwritten; give another output name")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file to write")
    if kind is None or not path.is_file():
        return
    there = _kind_or_other(path)
    if there not in (kind, FileKind.EMPTY):
        raise UsageError(
            f"{path} exists and holds {there.value}, not {kind.value}, so it is left alone; give another output name"
        )


@contextmanager
def whole_file(path: Path, kind: FileKind | None, inputs: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """Open an output for writing; it is there when the block has ended well, and as before when it raises.

    Its folder must exist. Raises UsageError as `check_output` does, and OSError.
    """
    check_output(path, kind, inputs)
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(path))
    if _is_special(target):
        with open(target, "wb") as file:
            yield file
        return
    temporary = target.with_name(f".{target.name[:64]}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        durable_rename(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, inputs: Iterable[Path] = ()) -> None:
    """Write a UTF-8 text as `whole_file` does."""
    with whole_file(path, FileKind.TEXT, inputs) as file:
        file.write(text.encode())


def durable_rename(source: Path, target: Path) -> None:
    """Replace `target`, atomically, so that it survives a power cut."""
    os.replace(source, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system and the file system allow to sync folders."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise


@cache
def warn_once(message: str) -> None:
    """Log a warning, the same one only once."""
    logger.warning(message)


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) == _LOOKED_AT  # a character may be cut at the end
    return True


def _kind_or_other(path: Path) -> FileKind:
    try:
        return file_kind(path)
    except OSError:
        return FileKind.OTHER


def _is_same(one: Path, two: Path) -> bool:
    try:
        return os.path.samefile(one, two)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(two)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
