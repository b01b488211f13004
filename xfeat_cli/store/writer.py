"""The one writer of features and matches files: atomic commits, resume, provenance.

A file is written as `<out>.partial` and takes its name when the job has finished: `<out>` is there if and only if the
last job that wrote it finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from xfeat_cli.errors import ProvenanceError, StoreError, UsageError
from xfeat_cli.files import FileKind, check_no_input, check_output, durable_rename
from xfeat_cli.store.journal import JournaledFile, JournalError, journal_path
from xfeat_cli.store.layout import (
    FORMAT_VERSION,
    NOT_COMPARED,
    Attribute,
    entries,
    guess_kind,
    partial_path,
)
from xfeat_cli.store.lock import OutputLock
from xfeat_cli.store.reader import open_hdf5
from xfeat_cli.store.values import HDF5_ERRORS, python_attributes
from xfeat_cli.version import __version__

# Readable by every HDF5 since 1.8, and a third smaller per entry than HDF5's own default.
_LIBVER = ("v108", "v108")
_TEXT = h5py.string_dtype()
_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)
_METADATA_CACHE_BYTES = 1 << 20
"""HDF5 takes 2 MiB, and 20 times as much memory for what it holds there."""


class Store:
    """One writer's features or matches file. A context manager; made by `open`.

    Call `finish` when the job has done all its work. Leaving the with-block without it (an error, Ctrl-C) commits what
    there is and leaves `<out>.partial`, with which the next `open` goes on.

    Every method raises StoreError when the disk is full or fails; all that was committed before stays.
    """

    def __init__(self, path: Path, lock: OutputLock, file: JournaledFile, h5: h5py.File, commit_seconds: float) -> None:
        self.path = path
        self._lock = lock
        self._file = file
        self._h5 = h5
        cache_config = h5.id.get_mdc_config()
        cache_config.set_initial_size = True
        cache_config.initial_size = cache_config.min_size = cache_config.max_size = _METADATA_CACHE_BYTES
        h5.id.set_mdc_config(cache_config)
        self._names = set(entries(h5))
        self._commit_seconds = commit_seconds
        self._committed_at = monotonic()

    @classmethod
    def open(
        cls,
        path: Path,
        kind: str,
        provenance: Mapping[str, Attribute],
        *,
        overwrite: bool = False,
        inputs: Iterable[Path] = (),
        remembered: Mapping[str, Attribute] | None = None,
        commit_seconds: float = 2.0,
    ) -> Store:
        """Start a file, or go on with one of the same kind and provenance.

        kind: one of the kinds above. provenance: becomes the root attributes `xfeat_<key>`.
        overwrite: start again; a finished file of that name stays until this job finishes, but readers refuse it.
        inputs: files that the job reads, which the output must not be.
        remembered: root attributes of a new file beside its provenance, which a later run may change.
        commit_seconds: most work that a crash may cost.

        Raises UsageError when the file would destroy an input or something of another kind, LockedError when another
        process writes it, ProvenanceError naming every difference, and StoreError when it cannot be written or is not
        an xfeat file.
        """
        path = Path(path)
        _check_place(path, inputs)
        root: dict[str, Attribute] = {"xfeat_kind": kind, "xfeat_format": FORMAT_VERSION}
        root.update({f"xfeat_{key}": provenance[key] for key in sorted(provenance)})
        try:
            lock = OutputLock(path)
        except OSError as error:
            raise _cannot_write(path, error) from error
        try:
            if overwrite:
                _check_replaceable(path, kind)
            file = None if overwrite else _unfinished(path) or _finished(path, root)
            if file is None:
                remembered = {f"xfeat_{key}": value for key, value in (remembered or {}).items()}
                return cls._start(path, lock, {**root, **remembered}, commit_seconds)
            return cls._go_on(path, lock, file, root, commit_seconds)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise _cannot_write(path, error) from error
            if isinstance(error, JournalError):
                raise StoreError(f"{error}; use overwrite=True to start again") from error
            raise

    @classmethod
    def _start(cls, path: Path, lock: OutputLock, root: Mapping[str, Attribute], commit_seconds: float) -> Store:
        file = JournaledFile.create(partial_path(path))
        store = None
        try:
            store = cls(path, lock, file, h5py.File(file, "w", libver=_LIBVER), commit_seconds)
            store._h5.attrs.update({**root, "xfeat_version": __version__})
            store.commit()
        except BaseException as error:
            file.abandon(error)
            if store is not None:
                _let_go(store._h5)
            file.close()
            _remove_unfinished(path)
            raise
        return store

    @classmethod
    def _go_on(
        cls,
        path: Path,
        lock: OutputLock,
        file: JournaledFile,
        root: Mapping[str, Attribute],
        commit_seconds: float,
    ) -> Store:
        try:
            h5 = h5py.File(file, "r+", libver=_LIBVER)
            try:
                _check_provenance(path, root, python_attributes(h5))
                return cls(path, lock, file, h5, commit_seconds)
            except BaseException:
                _let_go(h5)
                raise
        except BaseException as error:
            file.close()
            if isinstance(error, HDF5_ERRORS):
                raise StoreError(f"{file.path} is damaged ({error}); use overwrite=True to start again") from error
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def names(self) -> set[str]:
        """Return names of all entries; each is complete."""
        return set(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def attributes(self, name: str) -> dict[str, Any]:
        """Return attributes of an entry as Python values. Raises KeyError when there is no such entry."""
        if name not in self._names:
            raise KeyError(name)
        return python_attributes(self._h5[name])

    def remembered(self, key: str) -> Any:
        """Return what the file remembers beside its provenance; None where it does not say."""
        return python_attributes(self._h5).get(f"xfeat_{key}")

    def remember(self, key: str, value: Attribute) -> None:
        """Change what `remembered` gives."""
        with self._writing():
            self._h5.attrs[f"xfeat_{key}"] = value

    def put(
        self,
        name: str,
        datasets: Mapping[str, np.ndarray],
        attributes: Mapping[str, Attribute] | None = None,
        dataset_attributes: Mapping[str, Mapping[str, Attribute]] | None = None,
    ) -> None:
        """Write an entry, in place of any of that name. A crash leaves all of it or nothing.

        name: an image's name relative to the image root, or a `pair_name`; POSIX separators.
        dataset_attributes: by dataset, for example {"keypoints": {"uncertainty": 1.5}} (pixels).

        Raises StoreError for a name that HDF5 cannot hold.
        """
        self._check_name(name)
        for key, array in datasets.items():
            if "/" in key or array.dtype.kind not in "fiu":
                raise ValueError(f"dataset {key} of {array.dtype} cannot be stored")
        with self._writing():
            if name in self._names:
                self._names.remove(name)
                del self._h5[name]
            group = self._h5.create_group(name).id
            _set_attributes(group, attributes or {})
            for key, array in datasets.items():
                dataset = h5py.h5d.create(group, key.encode(), _type(array.dtype), h5py.h5s.create_simple(array.shape))
                dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(array))
                _set_attributes(dataset, (dataset_attributes or {}).get(key, {}))
            self._names.add(name)
        if monotonic() - self._committed_at >= self._commit_seconds:
            self.commit()

    def remove(self, name: str) -> None:
        """Remove an entry. Raises KeyError when there is no such entry."""
        self._names.remove(name)
        with self._writing():
            del self._h5[name]

    def commit(self) -> None:
        """Make everything put so far survive a crash."""
        with self._writing():
            self._h5.flush()
            self._file.commit()
        self._committed_at = monotonic()

    def finish(self) -> None:
        """Commit, close, and give the file its name. The store cannot be used any more."""
        with self._writing():
            self._h5.close()
            self._file.finish()
            durable_rename(self._file.path, _target(self.path))
        self._lock.release()

    def discard(self) -> None:
        """End without leaving a file when the store holds no entry; as `close` when it holds some."""
        if not self._names and not self._file.closed:
            _let_go(self._h5)
            self._file.close()
            _remove_unfinished(self.path)
        self.close()

    def close(self) -> None:
        """Commit and close; no-op after `finish`. `<out>.partial` stays, unless a finished file was left as it was."""
        try:
            if not self._file.closed and self._file.failure is None:
                with self._writing():
                    self._h5.close()
                    self._file.commit()
                    if not journal_path(self._file.path).exists():
                        durable_rename(self._file.path, _target(self.path))
        finally:
            _let_go(self._h5)
            self._file.close()
            self._lock.release()

    def _check_name(self, name: str) -> None:
        _check_name(name)
        parents = name.split("/")[:-1]
        above = ("/".join(parents[: n + 1]) for n in range(len(parents)))
        if any(parent in self._names for parent in above) or (name not in self._names and name in self._h5):
            raise StoreError(f"{self.path}: {name!r} is both an entry and a folder of entries")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Any exception ends the store as of the last commit, for HDF5's state is unknown after one."""
        if self._file.failure is not None:
            raise _cannot_write(self._file.path, self._file.failure)
        try:
            yield
        except BaseException as error:
            self._file.abandon(error)
            cause = self._file.failure
            assert cause is not None
            if isinstance(cause, Exception):
                raise _cannot_write(self._file.path, cause) from cause
            raise cause from None


def _set_attributes(item: Any, values: Mapping[str, Attribute]) -> None:
    """Behave as `attrs.update` of a new group or dataset, which would ask HDF5 much more, twice as long in all."""
    for key, value in values.items():
        array = np.array(value, _TEXT if isinstance(value, str) else None)
        h5py.h5a.create(item, key.encode(), _type(array.dtype), _SCALAR).write(array)


def _type(dtype: np.dtype) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)


def _target(path: Path) -> Path:
    """Return where the data of an output is, or will be: a symbolic link is written through."""
    return Path(os.path.realpath(path))


def _check_place(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse to destroy an input, or what is not ours, under the output's name or that of its unfinished state."""
    partial, inputs = partial_path(path), list(inputs)
    check_output(path, FileKind.HDF5, inputs)
    check_no_input(partial, inputs)
    if not journal_path(partial).exists():  # with one, it is ours, whatever a crash left of it
        check_output(partial, FileKind.HDF5)


def _check_replaceable(path: Path, kind: str) -> None:
    """Raise UsageError where a readable HDF5 file holds another kind of things than the one to be written."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with open_hdf5(path, superseded=True) as h5:
            there = str(python_attributes(h5).get("xfeat_kind") or guess_kind(entries(h5)))
    except (StoreError, *HDF5_ERRORS):
        return
    if there.removeprefix("semi-dense ") != kind.removeprefix("semi-dense "):
        raise UsageError(f"{path} holds {there}, not {kind}, so it is left alone; give another output name")


def _remove_unfinished(path: Path) -> None:
    partial = partial_path(path)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
        journal_path(partial).unlink(missing_ok=True)


def _unfinished(path: Path) -> JournaledFile | None:
    """Return the file that an earlier job left, as of its last commit; None where it never committed anything."""
    partial = partial_path(path)
    if not partial.exists():
        return None
    file = JournaledFile.open(partial)
    if file.size:
        return file
    file.close()
    return None


def _finished(path: Path, root: Mapping[str, Attribute]) -> JournaledFile | None:
    """Return the finished file, moved to where it can be extended; None where there is none. Raises ProvenanceError."""
    if not path.exists() or not path.stat().st_size:
        return None
    with open_hdf5(path, superseded=True) as h5:
        _check_provenance(path, root, python_attributes(h5))
    partial = partial_path(path)
    journal_path(partial).unlink(missing_ok=True)
    durable_rename(_target(path), partial)
    return JournaledFile.open(partial)


def _let_go(h5: h5py.File) -> None:
    """Close what may have failed: HDF5 cannot close a file properly after a failed write, and says so."""
    with suppress(*HDF5_ERRORS):
        h5.close()


def _cannot_write(path: Path, error: BaseException) -> StoreError:
    reason = getattr(error, "strerror", None) or error
    return StoreError(
        f"cannot write {path}: {reason}; what was committed is kept: make room or choose another output, "
        "then run the same command again"
    )


def _check_provenance(path: Path, wanted: Mapping[str, Attribute], found: Mapping[str, Any]) -> None:
    remedy = "use overwrite=True to start again, or another output name"
    if "xfeat_kind" not in found:
        raise ProvenanceError(f"{path} was not made by xfeat; {remedy}")
    differences = [
        f"{key.removeprefix('xfeat_')} {found.get(key, 'unknown')}, now {wanted.get(key, 'none')}"
        for key in [*wanted, *(key for key in found if key.startswith("xfeat_") and key not in wanted)]
        if key not in NOT_COMPARED and found.get(key) != wanted.get(key)
    ]
    if differences:
        raise ProvenanceError(f"{path} was made with {'; '.join(differences)}; {remedy}")


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StoreError(f"{name!r} is not valid Unicode, so HDF5 cannot hold it; rename the file") from None
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise StoreError(f"{name!r} cannot name an entry: use a relative path without '.', '..' and NUL")
