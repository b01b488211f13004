"""The one way to write an output: it appears whole or not at all, and never in place of what it must not replace.

The content goes into a temporary file of its own beside the target, is synced, and takes the target's name by an
atomic rename. A symbolic link is written through. A device or a FIFO is written directly, `-` is stdout.

An output replaces a file only if that is empty or of the same kind: a list of pairs never replaces a photograph,
whatever the options. It never replaces an input of the same command, by any spelling of its path.

Lists that people write are read here too: `-` is stdin, a byte order mark and Windows' line ends are no part of them.
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

STDIN = STDOUT = Path("-")

MAX_TEXT_BYTES = 1 << 30
"""No list that people write comes near this."""

_LOOKED_AT = 4096
"""Bytes at the beginning of a file that tell its kind."""

_UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
"""How file systems (NFS, SMB, some FUSE) refuse to sync a folder; the rename itself has happened."""


class FileKind(str, Enum):
    """What a file holds, told by its first bytes; the value names it to the user."""

    EMPTY = "nothing"
    TEXT = "text"
    PAIRS = "a list of pairs"
    JSON = "JSON"
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

_NEEDS_A_FILE = (FileKind.HDF5, FileKind.DATABASE)
"""Kinds that are written here and there, not from the beginning to the end."""


def file_kind(path: Path) -> FileKind:
    """Return the kind of an existing regular file. Raises OSError."""
    with open(path, "rb") as file:
        head = file.read(_LOOKED_AT)
    if not head:
        return FileKind.EMPTY
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= os.path.getsize(path):
        return FileKind.SAFETENSORS
    return _kind_of_text(head)


def check_output(path: Path, kind: FileKind | None, inputs: Iterable[Path] = ()) -> None:
    """Raise UsageError where writing `path` would destroy an input, a folder, or a file of another kind than `kind`.

    kind: None where any file of that name is ours, as in the cache folder.
    """
    if path == STDOUT:
        if kind in _NEEDS_A_FILE:
            raise UsageError(f"{kind.value} cannot be written to stdout; name a file")
        return
    check_no_input(path, inputs)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file to write")
    if _is_special(path) and kind in _NEEDS_A_FILE:
        raise UsageError(f"{path} is a device or a pipe, which cannot hold {kind.value}; name a file to write")
    if kind is None or not path.is_file():
        return
    there = _kind_or_other(path)
    if there not in (kind, FileKind.EMPTY):
        raise UsageError(
            f"{path} exists and holds {there.value}, not {kind.value}, so it is left alone; give another output name"
        )


def check_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raise UsageError where `path` is one of the inputs, by any spelling or link."""
    for source in inputs:
        if source != STDIN and _is_same(path, source):
            raise UsageError(f"{path} is an input of this command and would be overwritten; give another output name")


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
    """Write a UTF-8 text as `whole_file` does, in place of none but a text of its own kind."""
    data = text.encode()
    with whole_file(path, _kind_of_text(data[:_LOOKED_AT]) if data else FileKind.TEXT, inputs) as file:
        file.write(data)


def read_text(path: Path) -> str:
    """Return a UTF-8 text that a person may have written, or stdin where `path` is `-`; without its byte order mark.

    Raises OSError, and ValueError for what is no UTF-8 or beyond all measure.
    """
    if path == STDIN:
        if sys.stdin is None or sys.stdin.closed:
            raise OSError(errno.EBADF, "standard input is closed")
        data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise ValueError(f"more than {MAX_TEXT_BYTES >> 20} MiB")
    return data.decode("utf-8-sig")


def durable_rename(source: Path, target: Path) -> None:
    """Replace `target`, atomically, so that it survives a power cut."""
    os.replace(source, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut; where the file system refuses that, go on with one warning."""
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
        warn_once(
            f"the file system of {folder} does not sync folders ({error.strerror or error}): a power cut in the next "
            "seconds could undo what was written last"
        )


@cache
def warn_once(message: str) -> None:
    """Log a warning, the same one only once."""
    logger.warning(message)


def _kind_of_text(head: bytes) -> FileKind:
    """head: the first bytes of a file, at least one."""
    if b"\0" in head:
        return FileKind.OTHER
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) < _LOOKED_AT:
            return FileKind.OTHER
        text = head[: error.start].decode("utf-8-sig")  # a character was cut at the end
    if text.lstrip()[:1] in ("{", "["):
        return FileKind.JSON
    lines = text.splitlines()[: -1 if len(head) == _LOOKED_AT else None]
    return FileKind.PAIRS if all(map(_may_be_a_pair, lines)) else FileKind.TEXT


def _may_be_a_pair(line: str) -> bool:
    if not line.strip() or line.lstrip().startswith("#"):
        return True
    return len(line.strip("\t").split("\t") if "\t" in line else line.split()) == 2


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
