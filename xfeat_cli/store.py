"""The HDF5 files: names, dtypes, atomic commits, resume, provenance. The one owner of h5py.

An entry is a group that directly holds datasets: an image's features, or a pair's matches. hloc reads these files
unmodified. It takes every dataset's parent for an image and every dataset in there for a tensor, so what else there is
to say (options, weights, fingerprints) goes into attributes, of the root or of an entry.

A file is written as `<out>.partial` and takes its name when the job has finished: `<out>` is there if and only if the
last job that wrote it finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import filelock
import h5py
import numpy as np

from xfeat_cli import __version__
from xfeat_cli.errors import LockedError, ProvenanceError, StoreError
from xfeat_cli.journal import JournaledFile, JournalError, durable_rename, journal_path
from xfeat_cli.types import Features, Matches, PointMatches

FORMAT_VERSION = 1
FEATURES = "features"
SEMI_DENSE_FEATURES = "semi-dense features"
KEYPOINTS = "keypoints"
"""Of many pairs together, without descriptors: what aggregation makes."""
MATCHES = "matches"
SEMI_DENSE_MATCHES = "semi-dense matches"

# What an entry must hold to be complete. hloc's own files may hold no more than this.
REQUIRED_DATASETS = {
    FEATURES: ("keypoints", "descriptors"),
    SEMI_DENSE_FEATURES: ("keypoints", "descriptors", "scales"),
    KEYPOINTS: ("keypoints",),
    MATCHES: ("matches0", "matching_scores0"),
    SEMI_DENSE_MATCHES: ("keypoints0", "keypoints1", "scores"),
}

# Claims beyond these are damage or malice: a 300-megapixel image has 4.7 million network cells.
MAX_ROWS = 10_000_000
MAX_BYTES = 4 << 30

# Readable by every HDF5 since 1.8, and a third smaller per entry than HDF5's own default.
_LIBVER = ("v108", "v108")
_TEXT = h5py.string_dtype()
_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)
_METADATA_CACHE_BYTES = 1 << 20
"""HDF5 takes 2 MiB, and 20 times as much memory for what it holds there."""

# What h5py raises for a damaged file, depending on where the damage is.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)

Attribute = str | int | float


class Store:
    """One writer's features or matches file. A context manager; made by `open`.

    Call `finish` when the job has done all its work. Leaving the with-block without it (an error, Ctrl-C) commits what
    there is and leaves `<out>.partial`, with which the next `open` goes on.

    Every method raises StoreError when the disk is full or fails; all that was committed before stays.
    """

    def __init__(
        self, path: Path, lock: filelock.BaseFileLock, file: JournaledFile, h5: h5py.File, commit_seconds: float
    ) -> None:
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
        commit_seconds: float = 2.0,
    ) -> Store:
        """Start a file, or go on with one of the same kind and provenance.

        kind: one of the kinds above. provenance: becomes the root attributes `xfeat_<key>`.
        overwrite: start again; a finished file of that name stays until this job finishes.
        commit_seconds: most work that a crash may cost.

        Raises LockedError when another process writes the file, ProvenanceError naming every difference, and
        StoreError when the file cannot be written or is not an xfeat file.
        """
        path = Path(path)
        if path.is_dir():
            raise StoreError(f"{path} is a folder; name a file to write")
        root: dict[str, Attribute] = {"xfeat_kind": kind, "xfeat_format": FORMAT_VERSION}
        root.update({f"xfeat_{key}": provenance[key] for key in sorted(provenance)})
        lock = _lock(path)
        try:
            file = None if overwrite else _unfinished(path) or _finished(path, root)
            if file is None:
                return cls._start(path, lock, root, commit_seconds)
            return cls._go_on(path, lock, file, root, commit_seconds)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise _cannot_write(path, error) from error
            if isinstance(error, JournalError):
                raise StoreError(f"{error}; use --overwrite to start again") from error
            raise

    @classmethod
    def _start(
        cls, path: Path, lock: filelock.BaseFileLock, root: Mapping[str, Attribute], commit_seconds: float
    ) -> Store:
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
            raise
        return store

    @classmethod
    def _go_on(
        cls,
        path: Path,
        lock: filelock.BaseFileLock,
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
                raise StoreError(f"{file.path} is damaged ({error}); use --overwrite to start again") from error
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def names(self) -> set[str]:
        """Names of all entries; each is complete."""
        return set(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def attributes(self, name: str) -> dict[str, Any]:
        """Attributes of an entry as Python values. Raises KeyError when there is no such entry."""
        if name not in self._names:
            raise KeyError(name)
        return python_attributes(self._h5[name])

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
            durable_rename(self._file.path, self.path)
        self._lock.release()

    def discard(self) -> None:
        """End without leaving a file when the store holds no entry; as `close` when it holds some."""
        if not self._names and not self._file.closed:
            _let_go(self._h5)
            self._file.close()
            self._file.path.unlink(missing_ok=True)
            journal_path(self._file.path).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Commit and close; no-op after `finish`. `<out>.partial` stays, unless a finished file was left as it was."""
        try:
            if not self._file.closed and self._file.failure is None:
                with self._writing():
                    self._h5.close()
                    self._file.commit()
                    if not journal_path(self._file.path).exists():
                        durable_rename(self._file.path, self.path)
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
    """As `attrs.update` of a new group or dataset, which would ask HDF5 much more, twice as long in all."""
    for key, value in values.items():
        array = np.array(value, _TEXT if isinstance(value, str) else None)
        h5py.h5a.create(item, key.encode(), _type(array.dtype), _SCALAR).write(array)


def _type(dtype: np.dtype) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)


def partial_path(path: Path) -> Path:
    """Where `path` is written until the job that writes it has finished."""
    return path.with_name(path.name + ".partial")


def _lock(path: Path) -> filelock.BaseFileLock:
    """The lock's file stays, hidden: removing it would let two processes hold locks on different files."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise LockedError(
            f"{path} is being written by another process; wait for it, or choose another output"
        ) from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    return lock


def _unfinished(path: Path) -> JournaledFile | None:
    """The file that an earlier job left, as of its last commit; None where it never committed anything."""
    partial = partial_path(path)
    if not partial.exists():
        return None
    file = JournaledFile.open(partial)
    if file.size:
        return file
    file.close()
    return None


def _finished(path: Path, root: Mapping[str, Attribute]) -> JournaledFile | None:
    """The finished file, moved to where it can be extended; None where there is none. Raises ProvenanceError."""
    if not path.exists():
        return None
    with open_hdf5(path) as h5:
        _check_provenance(path, root, python_attributes(h5))
    partial = partial_path(path)
    journal_path(partial).unlink(missing_ok=True)
    durable_rename(path, partial)
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
    remedy = "use --overwrite to start again, or another output name"
    if "xfeat_kind" not in found:
        raise ProvenanceError(f"{path} was not made by xfeat; {remedy}")
    differences = [
        f"{key.removeprefix('xfeat_')} {found.get(key, 'unknown')}, now {wanted.get(key, 'none')}"
        for key in [*wanted, *(key for key in found if key.startswith("xfeat_") and key not in wanted)]
        if key != "xfeat_version" and found.get(key) != wanted.get(key)
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


# Contents of entries.


def features_entry(features: Features, *, half: bool = True) -> dict[str, np.ndarray]:
    """Datasets of an image.

    keypoints (N, 2) float32, descriptors (D, N) float16 (float32 unless `half`), scores (N,) float32,
    image_size (2,) int32 width and height, and scales (N,) float32 when semi-dense.
    """
    datasets = {
        **keypoints_entry(features.keypoints, features.scores, features.image_size),
        "descriptors": np.ascontiguousarray(features.descriptors.T, np.float16 if half else np.float32),
    }
    if features.scales is not None:
        datasets["scales"] = np.asarray(features.scales, np.float32)
    return datasets


def keypoints_entry(keypoints: np.ndarray, scores: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Datasets of an image without descriptors; as `features_entry`."""
    return {
        "keypoints": np.asarray(keypoints, np.float32),
        "scores": np.asarray(scores, np.float32),
        "image_size": np.asarray(image_size, np.int32),
    }


def matches_entry(matches: Matches, count0: int) -> dict[str, np.ndarray]:
    """Datasets of a pair: matches0 (count0,) int32, −1 = unmatched, and matching_scores0 (count0,) float16.

    count0: number of keypoints of image 0.
    """
    matches0 = np.full(count0, -1, np.int32)
    scores0 = np.zeros(count0, np.float16)
    matches0[matches.indices[:, 0]] = matches.indices[:, 1]
    scores0[matches.indices[:, 0]] = matches.scores
    return {"matches0": matches0, "matching_scores0": scores0}


def point_matches_entry(matches: PointMatches) -> dict[str, np.ndarray]:
    """Datasets of a semi-dense pair: keypoints0, keypoints1 (M, 2) float32 pixels and scores (M,) float32."""
    return {
        "keypoints0": np.asarray(matches.points0, np.float32),
        "keypoints1": np.asarray(matches.points1, np.float32),
        "scores": np.asarray(matches.scores, np.float32),
    }


def pair_name(name0: str, name1: str) -> str:
    """Name of a pair's entry, as hloc names it."""
    return name0.replace("/", "-") + "/" + name1.replace("/", "-")


# Reading. Files may come from anywhere: nothing outside them is opened and no absurd claim is believed.


def open_hdf5(path: Path) -> h5py.File:
    """Open for reading; an unfinished file as of its last commit, without touching it. Raises StoreError."""
    path = Path(path)
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not an HDF5 file")
    if not path.exists():
        raise StoreError(_why_missing(path))
    try:
        if journal_path(path).exists():
            return h5py.File(JournaledFile.open_read_only(path), "r")
        return h5py.File(path, "r")
    except (JournalError, *HDF5_ERRORS) as error:
        if isinstance(error, PermissionError):
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        raise StoreError(f"{path} is not an HDF5 file, or is damaged: {error}") from error


def _why_missing(path: Path) -> str:
    if partial_path(path).exists():
        return f"{path} is not finished yet ({partial_path(path).name} is): run the command that makes it again"
    return f"{path} does not exist"


def groups(h5: h5py.File) -> dict[str, tuple[str, ...]]:
    """Every group but the root, with the names of the datasets it directly holds; "" stands for the root if it has any.

    Only what the file itself holds: soft and external links are not followed.
    """
    found: dict[str, list[str]] = {}

    def visit(raw_name: bytes, info: Any) -> None:
        name = raw_name.decode("utf-8", "surrogateescape")
        if info.type == h5py.h5o.TYPE_GROUP:
            found.setdefault(name, [])
        elif info.type == h5py.h5o.TYPE_DATASET:
            group, _, key = name.rpartition("/")
            found.setdefault(group, []).append(key)

    h5py.h5o.visit(h5.id, visit, info=True)
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    return {group: known.setdefault(keys := tuple(sorted(names)), keys) for group, names in found.items()}


def entries(h5: h5py.File) -> dict[str, tuple[str, ...]]:
    """Every group that directly holds datasets, with their names; as `groups`."""
    return {group: keys for group, keys in groups(h5).items() if keys}


def row_count(h5: h5py.File, name: str, key: str) -> int:
    """Length of a dataset's first axis, without reading its data. Raises StoreError when it has none."""
    try:
        shape = h5py.h5d.open(h5.id, f"{name}/{key}".encode("utf-8", "surrogateescape")).shape
        return int(shape[0])
    except (IndexError, *HDF5_ERRORS) as error:
        raise StoreError(f"{key} cannot be read ({error})") from error


def describe_datasets(h5: h5py.File, name: str, keys: Iterable[str]) -> dict[str, str]:
    """dtype and shape of an entry's datasets, for people: "float32 (4096, 2)"."""
    described = {}
    for key in keys:
        try:
            dataset = h5[name][key] if name else h5[key]
            described[key] = f"{dataset.dtype} {dataset.shape}"
        except HDF5_ERRORS as error:
            described[key] = f"cannot be read ({error})"
    return described


def match_count(h5: h5py.File, name: str) -> int:
    """Number of matches of an entry that holds matches0. Raises StoreError when it cannot be read."""
    try:
        dataset = h5[name]["matches0"]
        problem = check_dataset(dataset)
        if problem is None:
            return int(np.count_nonzero(dataset[()] >= 0))
    except HDF5_ERRORS as error:
        problem = f"cannot be read ({error})"
    raise StoreError(f"matches0 {problem}")


def python_attributes(item: h5py.HLObject) -> dict[str, Any]:
    """Attributes as str, int, float, or nested lists of them."""
    return {key: _python_value(value) for key, value in item.attrs.items()}


def _python_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class _Reader:
    """What features and matches readers share: a file, its entries, checked arrays. A context manager."""

    def __init__(self, path: Path, kinds: tuple[str, ...], command: str) -> None:
        self.path = Path(path)
        if not self.path.exists() and not partial_path(self.path).exists():
            raise StoreError(f"{path} does not exist; run `{command}` first")
        self._h5 = open_hdf5(self.path)
        try:
            self.attributes = python_attributes(self._h5)
            found = entries(self._h5)
        except HDF5_ERRORS as error:
            self.close()
            raise StoreError(f"{path} is damaged: {error}") from error
        self.kind = str(self.attributes.get("xfeat_kind") or guess_kind(found))
        if self.kind not in kinds:
            self.close()
            raise StoreError(f"{path} holds {self.kind}, not {' or '.join(kinds)}; run `{command}` first")
        required = {*REQUIRED_DATASETS[self.kind]}
        self._entries = {name: keys for name, keys in found.items() if name and required.issubset(keys)}

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._h5.close()

    def names(self) -> list[str]:
        """Names of the complete entries, sorted."""
        return sorted(self._entries)

    def entry_attributes(self, name: str) -> dict[str, Any]:
        """Attributes of an entry as Python values. Raises KeyError when there is no such entry."""
        if name not in self._entries:
            raise KeyError(name)
        return python_attributes(self._h5[name])

    def _array(self, name: str, key: str, kinds: str, *shape: int | None) -> np.ndarray:
        """A dataset whose dtype is one of `kinds` and whose shape is `shape`, None = any length."""
        try:
            dataset = self._h5[name][key]
            problem = check_dataset(dataset)
            if dataset.dtype.kind not in kinds:
                problem = problem or f"holds {dataset.dtype}"
            if len(dataset.shape) != len(shape) or any(
                b not in (None, a) for a, b in zip(dataset.shape, shape, strict=True)
            ):
                problem = problem or f"has shape {dataset.shape}"
            if problem is None:
                return dataset[()]
        except HDF5_ERRORS as error:
            problem = f"cannot be read ({error})"
        raise StoreError(f"{self.path}: {key} of {name!r} {problem}; make that entry again")


def check_dataset(dataset: h5py.Dataset) -> str | None:
    """What forbids reading a dataset of an untrusted file, or None."""
    if dataset.external or dataset.is_virtual:
        return "lies in another file"
    if dataset.dtype.kind not in "fiu":
        return f"holds {dataset.dtype}"
    if max(dataset.shape or (0,)) > MAX_ROWS or dataset.nbytes > MAX_BYTES:
        return f"claims the absurd shape {dataset.shape}"
    if dataset.nbytes and not dataset.id.get_storage_size():
        return "holds no data"
    return None


def guess_kind(found: Mapping[str, Iterable[str]]) -> str:
    """Kind of a file that does not say: what most of its entries hold, or "unknown content"."""
    for kind in (SEMI_DENSE_FEATURES, FEATURES, SEMI_DENSE_MATCHES, MATCHES, KEYPOINTS):
        complete = sum({*REQUIRED_DATASETS[kind]}.issubset(keys) for keys in found.values())
        if 2 * complete > len(found):
            return kind
    return "unknown content"


class _ImagesReader(_Reader):
    """What readers of features and of keypoints share."""

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def count(self, name: str) -> int:
        """Number of keypoints of an image, without reading them. Raises KeyError, StoreError."""
        if name not in self._entries:
            raise KeyError(name)
        return row_count(self._h5, name, "keypoints")

    def image_size(self, name: str) -> tuple[int, int]:
        """(width, height) of the stored image, (0, 0) where the file does not say. Raises KeyError, StoreError."""
        if "image_size" not in self._entries[name]:
            return 0, 0
        width, height = self._array(name, "image_size", "iuf", 2)
        return int(width), int(height)

    def _keypoints(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Keypoints, scores and image size."""
        keys = self._entries[name]
        keypoints = self._array(name, "keypoints", "f", None, 2).astype(np.float32, copy=False)
        n = len(keypoints)
        if not np.isfinite(keypoints).all():
            raise StoreError(f"{self.path}: keypoints of {name!r} are not finite; make that entry again")
        scores = self._array(name, "scores", "f", n) if "scores" in keys else np.ones(n)
        return keypoints, scores.astype(np.float32, copy=False), self.image_size(name)


class FeaturesReader(_ImagesReader):
    """A finished features file, of xfeat or of hloc. A context manager.

    kind: "features" or "semi-dense features". attributes: those of the root.

    Raises StoreError when the file is missing, unfinished, damaged or of another kind.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (FEATURES, SEMI_DENSE_FEATURES), "xfeat extract")

    def __enter__(self) -> FeaturesReader:
        return self

    def load(self, name: str) -> Features:
        """Features of an image. keypoints float32; descriptors (N, D) float16 or float32 as stored.

        Scores that are not stored are 1; an image size that is not stored is (0, 0).

        Raises KeyError when there is no such image, StoreError when its entry is damaged.
        """
        keypoints, scores, size = self._keypoints(name)
        n = len(keypoints)
        semi_dense = self.kind == SEMI_DENSE_FEATURES
        return Features(
            keypoints=keypoints,
            scores=scores,
            descriptors=np.ascontiguousarray(self._array(name, "descriptors", "f", None, n).T),
            image_size=size,
            scales=self._array(name, "scales", "f", n).astype(np.float32, copy=False) if semi_dense else None,
        )


class KeypointsReader(_ImagesReader):
    """The keypoints of a finished file of features or of keypoints; descriptors are not read. A context manager.

    Raises StoreError as `FeaturesReader` does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (FEATURES, SEMI_DENSE_FEATURES, KEYPOINTS), "xfeat extract")

    def __enter__(self) -> KeypointsReader:
        return self

    def load(self, name: str) -> Features:
        """As `FeaturesReader.load`, with descriptors (N, 0) and no scales."""
        keypoints, scores, size = self._keypoints(name)
        return Features(keypoints, scores, np.zeros((len(keypoints), 0), np.float32), size)

    def uncertainty(self, name: str) -> float | None:
        """How far a keypoint of an image may be off, px; None where the file does not say. Raises KeyError."""
        if name not in self._entries:
            raise KeyError(name)
        stated = python_attributes(self._h5[name]["keypoints"]).get("uncertainty")
        return float(stated) if isinstance(stated, int | float) else None


class MatchesReader(_Reader):
    """A finished matches file, of xfeat or of hloc. A context manager.

    kind: "matches" or "semi-dense matches". attributes: those of the root.

    Raises StoreError when the file is missing, unfinished, damaged or of another kind.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (MATCHES, SEMI_DENSE_MATCHES), "xfeat match")

    def __enter__(self) -> MatchesReader:
        return self

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair_name(*pair) in self._entries or pair_name(*pair[::-1]) in self._entries

    def load(self, name0: str, name1: str) -> Matches | PointMatches:
        """Matches from image 0 to image 1, whichever order they are stored in.

        Raises KeyError when there is no such pair, StoreError when its entry is damaged.
        """
        name, flip = pair_name(name0, name1), False
        if name not in self._entries:
            name, flip = pair_name(name1, name0), True
        if name not in self._entries:
            raise KeyError((name0, name1))
        if self.kind == MATCHES:
            return self._matches(name, flip)
        points0 = self._array(name, "keypoints0", "f", None, 2).astype(np.float32, copy=False)
        points1 = self._array(name, "keypoints1", "f", len(points0), 2).astype(np.float32, copy=False)
        scores = self._array(name, "scores", "f", len(points0)).astype(np.float32, copy=False)
        return PointMatches(points1, points0, scores) if flip else PointMatches(points0, points1, scores)

    def _matches(self, name: str, flip: bool) -> Matches:
        matches0 = self._array(name, "matches0", "i", None).astype(np.int32)
        scores0 = self._array(name, "matching_scores0", "f", len(matches0))
        index0 = np.flatnonzero(matches0 >= 0).astype(np.int32)
        indices = np.stack([index0, matches0[index0]], axis=1)
        scores = scores0[index0].astype(np.float32)
        if flip:
            order = np.argsort(indices[:, 1], kind="stable")
            indices, scores = indices[order, ::-1], scores[order]
        return Matches(np.ascontiguousarray(indices), scores)
