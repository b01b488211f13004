"""A file whose content is always exactly that of a commit, even after kill -9 or a power cut in the midst of one.

HDF5 appends new data past the end of a file and overwrites a little metadata before it. What is written at or past
the committed size goes straight to the file: nothing committed refers to it. What is written before it stays in
memory, in pages, until the commit:

    1. the file is synced, so that the appended data is safe
    2. `<file>.journal` is replaced, atomically, by one that holds the new committed size and the changed pages
    3. the pages are written into the file

The rename in step 2 is the commit. Step 3 may be repeated: opening the file applies the journal's pages and cuts off
everything past the committed size. So the journal stays beside the file until `finish`; a file without a journal is
whole. A new file begins with a journal that says "0 bytes committed".
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from pathlib import Path
from typing import Any

from xfeat_cli.files import durable_rename, sync_folder

PAGE = 4096
_MAGIC = b"xfeat journal 1\n"
_HEADER = struct.Struct("<QQ")  # committed size, number of pieces
_PIECE = struct.Struct("<QQ")  # offset, length; the bytes follow
_DIGEST_BYTES = 32


class JournalError(Exception):
    """A file and its journal do not belong together, or the journal is damaged."""


def journal_path(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def _new_journal_path(path: Path) -> Path:
    return path.with_name(path.name + ".journal.new")


class JournaledFile(io.RawIOBase):
    """One writer's random-access file whose changes take effect at `commit`, all or none.

    Made by `create`, `open` or `open_read_only`. Reads see uncommitted writes.

    After an exception in a write (a full disk, Ctrl-C) `failure` holds it, the changes since the last commit are lost,
    and further writes are dropped in silence, because HDF5 insists on flushing before it lets go of a file.
    """

    def __init__(self, path: Path, fd: int, committed: int, pages: dict[int, bytearray], writable: bool) -> None:
        self.path = path
        self.failure: BaseException | None = None
        self._fd = fd
        self._committed = committed
        self._size = committed
        self._pages = pages
        self._writable = writable
        self._changed = False
        self._position = 0

    @classmethod
    def create(cls, path: Path) -> JournaledFile:
        """Return an empty file in place of any that is there; nothing is committed yet. Raises OSError."""
        _write_journal(path, 0, [])
        fd = _open(path, os.O_RDWR | os.O_CREAT)
        _truncate(fd, 0)
        return cls(path, fd, 0, {}, writable=True)

    @classmethod
    def open(cls, path: Path) -> JournaledFile:
        """Return the file as of its last commit; `size` is 0 where nothing was ever committed.

        Raises JournalError when the journal is damaged or longer than the file, and OSError.
        """
        recover(path)
        fd = _open(path, os.O_RDWR)
        return cls(path, fd, os.fstat(fd).st_size, {}, writable=True)

    @classmethod
    def open_read_only(cls, path: Path) -> JournaledFile:
        """Behave as `open`, but the journal is applied in memory only and neither file is touched."""
        committed, pieces = _read_journal(path)
        fd = _open(path, os.O_RDONLY)
        size = os.fstat(fd).st_size
        file = cls(path, fd, size if committed is None else committed, {}, writable=False)
        for offset, data in pieces:
            file._write_pages(offset, memoryview(data))
        return file

    @property
    def size(self) -> int:
        """Return bytes, uncommitted ones included."""
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._writable

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        start = self._position
        end = min(start + len(view), self._size)
        if end <= start:
            return 0
        view = view[: end - start]
        _read_into(self._fd, start, view)
        overlaid = min(end, self._committed)
        for page_start in range(start - start % PAGE, overlaid, PAGE):
            page = self._pages.get(page_start // PAGE)
            low, high = max(start, page_start), min(overlaid, page_start + PAGE)
            if page is not None and low < high:
                view[low - start : high - start] = page[low - page_start : high - page_start]
        self._position = end
        return end - start

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        start = self._position
        split = max(0, min(len(view), self._committed - start))
        if self.failure is None:
            try:
                self._write_pages(start, view[:split])
                if split < len(view):
                    self._changed = True
                    _write_at(self._fd, start + split, view[split:])
            except BaseException as error:
                self.failure = error
                raise
        self._size = max(self._size, start + len(view))
        self._position = start + len(view)
        return len(view)

    def flush(self) -> None:
        """Nothing: `commit` decides what reaches the disk, and HDF5 may flush once more after a failure."""

    def truncate(self, size: int | None = None) -> int:
        """Set the size, but never below the committed one: HDF5 itself records where its data ends."""
        size = max(self._position if size is None else size, self._committed)
        if self.failure is None and size != self._size:
            try:
                self._changed = True
                _truncate(self._fd, size)
            except BaseException as error:
                self.failure = error
                raise
        self._size = size
        return size

    def commit(self) -> None:
        """Make everything written so far survive a crash. Raises OSError, or what `failure` holds."""
        if self.failure is not None:
            raise self.failure
        if not self._changed:
            return
        try:
            pieces = [(number * PAGE, memoryview(page)) for number, page in sorted(self._pages.items())]
            pieces = [(offset, page[: self._committed - offset]) for offset, page in pieces]
            _sync(self._fd)
            _write_journal(self.path, self._size, pieces)
            for offset, page in pieces:
                _write_at(self._fd, offset, page)
        except BaseException as error:
            self.failure = error
            raise
        self._committed = self._size
        self._pages.clear()
        self._changed = False

    def abandon(self, error: BaseException) -> None:
        """Drop the changes since the last commit, and all later ones; the first `error` is kept."""
        self.failure = self.failure or error

    def finish(self) -> None:
        """Commit, remove the journal and close: the file now stands for itself. Raises as `commit`."""
        self.commit()
        _sync(self._fd)
        self.close()
        _remove(journal_path(self.path))

    def close(self) -> None:
        """Close without committing; opening the file again gives the last commit."""
        if not self.closed:
            os.close(self._fd)
        super().close()

    def _write_pages(self, start: int, view: memoryview) -> None:
        """Overlay bytes that lie before the committed size; touched pages are first filled from the file."""
        while len(view):
            number, within = divmod(start, PAGE)
            page = self._pages.get(number)
            if page is None:
                page = bytearray(PAGE)
                _read_into(self._fd, number * PAGE, memoryview(page))
                self._pages[number] = page
            count = min(len(view), PAGE - within)
            if page[within : within + count] != view[:count]:
                page[within : within + count] = view[:count]
                self._changed = True
            start, view = start + count, view[count:]


def recover(path: Path) -> None:
    """Give a file the content of its last commit, empty where there was none; no-op without a journal.

    Raises JournalError when the journal is damaged or the file is shorter than what was committed, and OSError.
    """
    _new_journal_path(path).unlink(missing_ok=True)
    committed, pieces = _read_journal(path)
    if committed is None:
        return
    fd = _open(path, os.O_RDWR)
    try:
        for offset, data in pieces:
            _write_at(fd, offset, memoryview(data))
        _truncate(fd, committed)
        _sync(fd)
    finally:
        os.close(fd)


def _read_journal(path: Path) -> tuple[int | None, list[tuple[int, bytes]]]:
    """Return committed size and pieces; (None, []) without a journal."""
    try:
        content = journal_path(path).read_bytes()
    except FileNotFoundError:
        return None, []
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise JournalError(f"{journal_path(path)} is damaged")
    committed, count = _HEADER.unpack_from(body, len(_MAGIC))
    if path.stat().st_size < committed:
        raise JournalError(f"{path} is shorter than {journal_path(path)} says")
    pieces = []
    position = len(_MAGIC) + _HEADER.size
    for _ in range(count):
        offset, length = _PIECE.unpack_from(body, position)
        position += _PIECE.size
        pieces.append((offset, body[position : position + length]))
        position += length
    return committed, pieces


def _write_journal(path: Path, committed: int, pieces: list[tuple[int, memoryview]]) -> None:
    """Replace the journal atomically and durably."""
    parts = [_MAGIC, _HEADER.pack(committed, len(pieces))]
    for offset, data in pieces:
        parts += [_PIECE.pack(offset, len(data)), bytes(data)]
    body = b"".join(parts)
    new = _new_journal_path(path)
    fd = _open(new, os.O_RDWR | os.O_CREAT)
    try:
        _truncate(fd, 0)
        _write_at(fd, 0, memoryview(body + hashlib.sha256(body).digest()))
        _sync(fd)
    finally:
        os.close(fd)
    durable_rename(new, journal_path(path))


# Everything that changes the disk goes through the functions below; the crash tests record and cut them short.


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)


def _read_into(fd: int, offset: int, view: memoryview) -> None:
    """Fill `view` from `offset` on; what lies past the end of the file stays as it is."""
    os.lseek(fd, offset, os.SEEK_SET)
    while len(view):
        data = os.read(fd, len(view))
        if not data:
            return
        view[: len(data)] = data
        view = view[len(data) :]


def _write_at(fd: int, offset: int, view: memoryview) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    while len(view):
        view = view[os.write(fd, view) :]


def _truncate(fd: int, size: int) -> None:
    os.ftruncate(fd, size)


def _sync(fd: int) -> None:
    os.fsync(fd)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
