"""Readers of features, keypoints and matches files, of xfeat or of hloc.

Files may come from anywhere: nothing outside them is opened and no absurd claim is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from xfeat_cli.errors import StoreError
from xfeat_cli.store import values
from xfeat_cli.store.heaps import has_endless_heap
from xfeat_cli.store.journal import JournaledFile, JournalError, journal_path
from xfeat_cli.store.layout import (
    FEATURES,
    KEYPOINTS,
    LINKS,
    MATCHES,
    REQUIRED_DATASETS,
    SEMI_DENSE_FEATURES,
    SEMI_DENSE_MATCHES,
    Attribute,
    entries,
    guess_kind,
    partial_path,
)
from xfeat_cli.store.names import pair_name
from xfeat_cli.types import Features, FloatArray, IntArray, Links, Matches, PointMatches

_OF_THE_FILE = ("xfeat_kind", "xfeat_format", "xfeat_version")
"""Root attributes that the writer sets itself."""


def open_hdf5(path: Path, *, superseded: bool = False) -> h5py.File:
    """Open for reading; an unfinished file as of its last commit, without touching it.

    superseded: also a file that an unfinished run with overwrite=True is going to replace.
    Raises StoreError.
    """
    path = Path(path)
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not an HDF5 file")
    if not path.exists():
        raise StoreError(_why_missing(path))
    if not path.is_file():
        raise StoreError(f"{path} is a device or a pipe; HDF5 is read from a file")
    if not superseded and is_superseded(path):
        raise StoreError(
            f"{path} is what was there before a run with overwrite=True that has not finished: run that again, or "
            f"remove {partial_path(path).name} to keep the old content"
        )
    try:
        if journal_path(path).exists():
            return h5py.File(JournaledFile.open_read_only(path), "r")
        if has_endless_heap(path):
            raise StoreError(f"{path} is damaged: its strings cannot be read; make it again")
        return h5py.File(path, "r")
    except (JournalError, *values.HDF5_ERRORS) as error:
        if isinstance(error, PermissionError):
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        raise StoreError(f"{path} is not an HDF5 file, or is damaged: {error}") from error


def begun_with(path: Path) -> dict[str, Any]:
    """Return root attributes of the file that a job would go on with, unfinished or finished; none where there is no
    such file or it cannot be read.
    """
    begun = next((file for file in (partial_path(path), Path(path)) if file.exists()), None)
    if begun is None:
        return {}
    try:
        with open_hdf5(begun, superseded=True) as h5:
            return values.python_attributes(h5)
    except (StoreError, OSError):
        return {}


def is_superseded(path: Path) -> bool:
    """Return whether making a finished file anew is under way, or was interrupted."""
    return path.exists() and partial_path(path).exists()


def _why_missing(path: Path) -> str:
    if partial_path(path).exists():
        return f"{path} is not finished yet ({partial_path(path).name} is): run the command that makes it again"
    return f"{path} does not exist"


def row_count(h5: h5py.File, name: str, key: str) -> int:
    """Return length of a dataset's first axis, without reading its data. Raises StoreError when it has none."""
    try:
        shape = h5py.h5d.open(h5.id, f"{name}/{key}".encode("utf-8", "surrogateescape")).shape
        return int(shape[0])
    except (IndexError, *values.HDF5_ERRORS) as error:
        raise StoreError(f"{key} cannot be read ({error})") from error


def describe_datasets(h5: h5py.File, name: str, keys: Iterable[str]) -> dict[str, str]:
    """Return dtype and shape of an entry's datasets, for people: "float32 (4096, 2)"."""
    described = {}
    for key in keys:
        try:
            dataset = h5[name][key] if name else h5[key]
            described[key] = f"{dataset.dtype} {dataset.shape}"
        except values.HDF5_ERRORS as error:
            described[key] = f"cannot be read ({error})"
    return described


def match_count(h5: h5py.File, name: str) -> int:
    """Return number of matches of an entry that holds matches0. Raises StoreError when it cannot be read."""
    try:
        indices = values.read_values(h5[name]["matches0"], "iu", (None,), 0)
        return int(np.count_nonzero(values.checked_indices(indices) >= 0))
    except values.HDF5_ERRORS as error:
        raise StoreError(f"matches0 cannot be read ({error})") from error
    except StoreError as error:
        raise StoreError(f"matches0 {error}") from error


class _Reader:
    """What features and matches readers share: a file, its entries, checked arrays. A context manager."""

    def __init__(self, path: Path, kinds: tuple[str, ...], command: str) -> None:
        self.path = Path(path)
        if not self.path.exists() and not partial_path(self.path).exists():
            raise StoreError(f"{path} does not exist; run `{command}` first")
        self._h5 = open_hdf5(self.path)
        try:
            self.attributes = values.python_attributes(self._h5)
            found = entries(self._h5)
        except values.HDF5_ERRORS as error:
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
        """Return names of the complete entries, sorted."""
        return sorted(self._entries)

    def entry_attributes(self, name: str) -> dict[str, Any]:
        """Return attributes of an entry as Python values. Raises KeyError when there is no such entry."""
        if name not in self._entries:
            raise KeyError(name)
        return values.python_attributes(self._h5[name])

    def dtype(self, name: str, key: str) -> np.dtype | None:
        """Return type of a dataset as it is stored; None where that cannot be read."""
        try:
            return self._dataset(name, key).dtype
        except (StoreError, *values.HDF5_ERRORS):
            return None

    def number(self, attribute: str, default: float, low: float, high: float) -> float:
        """Return a number that the root states, or `default`. Raises StoreError unless it lies in [low, high]."""
        stated = self.attributes.get(attribute, default)
        if isinstance(stated, int | float) and low <= stated <= high:
            return float(stated)
        raise StoreError(
            f"{self.path}: {attribute} is {stated!r}, not a number from {low:g} to {high:g}; make it again"
        )

    def _array(
        self, name: str, key: str, kinds: str, *shape: int | None, most: float = values.MAX_NUMBER
    ) -> np.ndarray:
        """Return a dataset as of `values.read_values`."""
        with self._naming(name, key):
            return values.read_values(self._dataset(name, key), kinds, shape, most)

    def _dataset(self, name: str, key: str) -> h5py.Dataset:
        try:
            return self._h5[name][key]
        except values.HDF5_ERRORS as error:
            raise StoreError(f"cannot be read ({error})") from error

    def _points(self, name: str, key: str, count: int | None) -> FloatArray:
        points = self._array(name, key, "f", count, 2, most=values.MAX_COORDINATE)
        return points.astype(np.float32, copy=False)

    @contextmanager
    def _naming(self, name: str, key: str) -> Iterator[None]:
        """Yield errors in the block come to say what they are about."""
        try:
            yield
        except StoreError as error:
            raise StoreError(f"{self.path}: {key} of {name!r} {error}; make that entry again") from error


class EntriesReader(_Reader):
    """Whole entries of a finished file of any kind, as `Store.put` takes them. A context manager.

    provenance: what the file was made with, as `Store.open` takes it.
    Raises StoreError when the file is missing, unfinished or damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, tuple(REQUIRED_DATASETS), "the command that makes it")
        self.provenance: dict[str, Attribute] = {
            key.removeprefix("xfeat_"): value for key, value in self.attributes.items() if key not in _OF_THE_FILE
        }

    def __enter__(self) -> EntriesReader:
        return self

    def load(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Attribute], dict[str, dict[str, Attribute]]]:
        """Return datasets of an entry, its attributes, and those of its datasets. Raises KeyError, StoreError."""
        datasets, described = {}, {}
        for key in self._entries[name]:
            with self._naming(name, key):
                dataset = self._dataset(name, key)
                datasets[key] = values.read_values(
                    dataset, "fiu", (None,) * len(dataset.shape or ()), values.MAX_NUMBER
                )
                described[key] = values.python_attributes(dataset)
        return datasets, self.entry_attributes(name), described


class _ImagesReader(_Reader):
    """What readers of features and of keypoints share."""

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def count(self, name: str) -> int:
        """Return number of keypoints of an image, without reading them. Raises KeyError, StoreError."""
        if name not in self._entries:
            raise KeyError(name)
        return row_count(self._h5, name, "keypoints")

    def image_size(self, name: str) -> tuple[int, int]:
        """Return (width, height) of the stored image, (0, 0) where the file does not say. Raises KeyError,
        StoreError.
        """
        if "image_size" not in self._entries[name]:
            return 0, 0
        with self._naming(name, "image_size"):
            return values.checked_size(values.read_values(self._dataset(name, "image_size"), "iuf", (2,), np.inf))

    def _keypoints(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Return keypoints, scores and image size."""
        keys = self._entries[name]
        keypoints = self._points(name, "keypoints", None)
        n = len(keypoints)
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
        """Return features of an image. keypoints float32; descriptors (N, D) float16 or float32 as stored.

        Scores that are not stored are 1; an image size that is not stored is (0, 0); an orientation that is not stored,
        or is none, is 1.

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
            orientation=self._orientation(name),
        )

    def descriptor_shape(self, name: str) -> tuple[int, int]:
        """Return (D, N) of an image's descriptors, without reading them. Raises KeyError, StoreError."""
        with self._naming(name, "descriptors"):
            shape = self._dataset(name, "descriptors").shape
            if shape is None or len(shape) != 2:
                raise StoreError(f"has shape {shape}")
        return int(shape[0]), int(shape[1])

    def _orientation(self, name: str) -> int:
        stated = values.python_attributes(self._h5[name]).get("orientation")
        return stated if isinstance(stated, int) and 1 <= stated <= 8 else 1


class KeypointsReader(_ImagesReader):
    """The keypoints of a finished file of features or of keypoints; descriptors are not read. A context manager.

    Raises StoreError as `FeaturesReader` does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (FEATURES, SEMI_DENSE_FEATURES, KEYPOINTS), "xfeat extract")

    def __enter__(self) -> KeypointsReader:
        return self

    def load(self, name: str) -> Features:
        """Behave as `FeaturesReader.load`, with descriptors (N, 0) and no scales."""
        keypoints, scores, size = self._keypoints(name)
        return Features(keypoints, scores, np.zeros((len(keypoints), 0), np.float32), size)

    def uncertainty(self, name: str) -> float | None:
        """Return how far a keypoint of an image may be off, px; None where the file does not say. Raises KeyError."""
        if name not in self._entries:
            raise KeyError(name)
        stated = values.python_attributes(self._h5[name]["keypoints"]).get("uncertainty")
        return float(stated) if isinstance(stated, int | float) else None

    def uncertainties(self, name: str) -> FloatArray | None:
        """Return standard deviation of each keypoint of an image, per axis, (N,) px; None where the file holds none, as
        before refinement. Raises KeyError, StoreError.
        """
        if "uncertainty" not in self._entries[name]:
            return None
        return self._array(name, "uncertainty", "f", self.count(name))


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
        """Return matches from image 0 to image 1, whichever order they are stored in.

        Raises KeyError when there is no such pair, StoreError when its entry is damaged.
        """
        name, flip = pair_name(name0, name1), False
        if name not in self._entries:
            name, flip = pair_name(name1, name0), True
        if name not in self._entries:
            raise KeyError((name0, name1))
        if self.kind == MATCHES:
            return self._matches(name, flip)
        points0 = self._points(name, "keypoints0", None)
        points1 = self._points(name, "keypoints1", len(points0))
        scores = self._array(name, "scores", "f", len(points0)).astype(np.float32, copy=False)
        return PointMatches(points1, points0, scores) if flip else PointMatches(points0, points1, scores)

    def sigmas(self, name0: str, name1: str) -> FloatArray | None:
        """Return standard deviation of the distance of each match, as `load` orders them, from its epipolar lines, (M,)
        px; None where the file holds none, as before refinement. Raises KeyError, StoreError.
        """
        name, flip = pair_name(name0, name1), False
        if name not in self._entries:
            name, flip = pair_name(name1, name0), True
        if "sigma" not in self._entries[name]:
            return None
        matches0 = self._indices(name)
        sigmas = self._array(name, "sigma", "f", len(matches0))
        index0 = np.flatnonzero(matches0 >= 0)
        return sigmas[index0[np.argsort(matches0[index0], kind="stable")] if flip else index0]

    def _indices(self, name: str) -> IntArray:
        with self._naming(name, "matches0"):
            return values.checked_indices(values.read_values(self._dataset(name, "matches0"), "iu", (None,), 0))

    def largest(self, entry: str) -> int:
        """Return largest index that an entry's matches0 holds or could be asked to, its own length included; 0 if
        damaged.
        """
        try:
            indices = values.read_values(self._dataset(entry, "matches0"), "iu", (None,), 0)
        except StoreError:
            return 0
        return max(int(indices.max(initial=0)), len(indices) - 1)

    def row_count(self, name0: str, name1: str) -> int:
        """Return number of semi-dense matches of a pair, without reading them. Raises KeyError, StoreError."""
        name = next(n for n in (pair_name(name0, name1), pair_name(name1, name0)) if n in self._entries)
        return row_count(self._h5, name, "keypoints0")

    def _matches(self, name: str, flip: bool) -> Matches:
        matches0 = self._indices(name)
        scores0 = self._array(name, "matching_scores0", "f", len(matches0))
        index0 = np.flatnonzero(matches0 >= 0).astype(np.int32)
        indices = np.stack([index0, matches0[index0]], axis=1)
        scores = scores0[index0].astype(np.float32)
        if flip:
            order = np.argsort(indices[:, 1], kind="stable")
            indices, scores = indices[order, ::-1], scores[order]
        return Matches(np.ascontiguousarray(indices), scores)


class LinksReader(_Reader):
    """A finished file of links. A context manager. Raises StoreError as `MatchesReader` does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, (LINKS,), "xfeat refine")

    def __enter__(self) -> LinksReader:
        return self

    def __contains__(self, entry: str) -> bool:
        return entry in self._entries

    def load(self, entry: str) -> Links:
        """Return links of a pair, in the order of the images in the entry's name. Raises KeyError, StoreError."""
        if entry not in self._entries:
            raise KeyError(entry)
        indices = self._array(entry, "indices", "i", None, 2)
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= values.MAX_ROWS):
            raise StoreError(f"{self.path}: indices of {entry!r} refer to keypoints that no image has")
        indices = indices.astype(np.int32, copy=False)
        m = len(indices)
        affines = self._array(entry, "affines", "f", m, 4).astype(np.float32).reshape(-1, 2, 2)
        shifts, information = (
            self._array(entry, key, "f", m, width).astype(np.float32, copy=False)
            for key, width in (("shifts", 2), ("information", 3))
        )
        return Links(indices, affines, shifts, information)
