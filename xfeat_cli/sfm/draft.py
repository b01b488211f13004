"""A COLMAP database on its way to its name: it takes it only when all that was asked for is in it.

It is written as `.<name>.part` beside the database. A table of its own, `xfeat`, which COLMAP passes over, says what
was imported and verified, so that a run that was killed goes on where it stopped, and shows that the database is ours.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.files import FileKind, check_output, durable_rename, file_kind
from xfeat_cli.store.lock import OutputLock

_TABLES = ("images", "keypoints", "matches", "two_view_geometries")


class Draft:
    """path: of the unfinished database, which may not be there. Made by `drafting`."""

    def __init__(self, database: Path) -> None:
        self.database = Path(os.path.realpath(database))
        self.path = self.database.with_name(f".{self.database.name}.part")

    def discard(self) -> None:
        """Remove the unfinished database, if there is one."""
        for path in (self.path, *_logs(self.path)):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def notes(self) -> dict[str, Any]:
        """Return what `note` wrote into the unfinished database; empty when it is missing or damaged."""
        return read_notes(self.path)

    def note(self, **notes: Any) -> None:
        """Write, or replace, what the database says of itself. Raises SfmError."""
        try:
            with closing(sqlite3.connect(self.path)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS xfeat (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
                rows = [(name, json.dumps(value)) for name, value in notes.items()]
                database.executemany("INSERT OR REPLACE INTO xfeat VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise _cannot_write(self.database, error) from None

    def finish(self) -> None:
        """Give the database its name, whole and on the disk. Raises SfmError; then nothing has changed."""
        try:
            self.note(counts=_counts(self.path))
            with closing(sqlite3.connect(self.path)) as database:
                database.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
            if is_damaged(self.path):
                self.discard()
                raise SfmError(f"{self.database}: what was written is damaged; run the same command again")
            with open(self.path, "rb+") as file:
                os.fsync(file.fileno())
            for log in _logs(self.database):  # of an earlier database: SQLite would take it for the new one's
                log.unlink(missing_ok=True)
            durable_rename(self.path, self.database)
        except (OSError, sqlite3.Error) as error:
            raise _cannot_write(self.database, error) from None


@contextmanager
def drafting(database: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> Iterator[Draft]:
    """Yield be the one writer of a database. An unfinished one that an earlier run left is there again.

    Raises SfmError when the database exists (unless `overwrite`), UsageError when it is an input or not made by xfeat,
    LockedError when another process writes it.
    """
    check_output(database, FileKind.DATABASE, inputs)
    if database.exists() and not database.is_file():
        raise SfmError(f"{database} is no regular file, which a database must be; name another database")
    draft = Draft(database)
    try:
        with OutputLock(draft.database):
            if _holds_something(database):
                if not overwrite:
                    raise SfmError(f"{database} exists; use overwrite=True to replace it, or name another database")
                check_is_ours(database)
            yield draft
    except OSError as error:
        raise _cannot_write(database, error) from None


def check_is_ours(database: Path) -> None:
    """Raise SfmError for a database that xfeat did not make: it is never replaced."""
    if not read_notes(database):
        raise SfmError(f"{database} was not made by this version of xfeat, so it is left alone; name another database")


def read_notes(database: Path) -> dict[str, Any]:
    """Return what a database says of itself; empty when it is missing, damaged or not ours."""
    if not database.is_file():
        return {}
    try:
        with closing(_open(database)) as opened:
            return {name: json.loads(value) for name, value in opened.execute("SELECT name, value FROM xfeat")}
    except (sqlite3.Error, ValueError):
        return {}


def is_sound(database: Path) -> bool:
    """Return whether a finished database still holds what it held when it got its name."""
    counts = read_notes(database).get("counts")
    try:
        return counts is not None and not is_damaged(database) and _counts(database) == counts
    except sqlite3.Error:
        return False


def is_damaged(database: Path) -> bool:
    """Return whether SQLite cannot read a database whole."""
    try:
        with closing(_open(database)) as opened:
            [(verdict,)] = opened.execute("PRAGMA quick_check(1)").fetchall()
            return verdict != "ok"
    except sqlite3.Error:
        return True


def count_rows(database: Path, table: str) -> int | None:
    """Return rows of a table of a database that is being written; None when it cannot be read at the moment."""
    try:
        with closing(_open(database)) as opened:
            return int(opened.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    except sqlite3.Error:
        return None


def _logs(database: Path) -> list[Path]:
    """Return what SQLite writes beside a database."""
    return [database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal")]


def _counts(database: Path) -> Mapping[str, int]:
    with closing(_open(database)) as opened:
        return {table: opened.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in _TABLES}


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)


def _holds_something(database: Path) -> bool:
    return database.exists() and file_kind(database) is not FileKind.EMPTY


def _cannot_write(database: Path, error: Exception) -> SfmError:
    if "full" in str(error) or getattr(error, "errno", None) == 28:
        return SfmError(f"{database} cannot be written: its disk is full; make room, then run the same command again")
    return SfmError(f"{database} cannot be written ({getattr(error, 'strerror', None) or error})")
