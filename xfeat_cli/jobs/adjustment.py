"""The links of all pairs → a shift for each keypoint of a collection, in bounded memory.

What has a value for every keypoint of the collection, and the links of each part of the problem, lie on disk in a
scratch folder; a part in memory has at most MOST_LINKS links, unless a single track has more.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import rmtree

import numpy as np
import numpy.typing as npt

from xfeat_cli.config import RefineConfig
from xfeat_cli.errors import StoreError
from xfeat_cli.machine.threads import in_order
from xfeat_cli.refinement.selection import Keypoints, judge
from xfeat_cli.refinement.solve import Problem, Solution, solve
from xfeat_cli.refinement.tracks import Tracks, parts_of
from xfeat_cli.store.reader import KeypointsReader, LinksReader
from xfeat_cli.types import Links, Pair

MOST_LINKS = 500_000
"""Links of one part: solving takes about 400 bytes for each."""

_LINK = np.dtype(
    [("ends", np.int64, 2), ("affine", np.float32, 4), ("shift", np.float32, 2), ("information", np.float32, 3)]
)


class Numbering:
    """Numbers for the keypoints of all images, image after image."""

    def __init__(self, features: KeypointsReader) -> None:
        names = features.names()
        ends = np.cumsum([0, *(features.count(name) for name in names)])
        self._bounds = {name: (int(ends[i]), int(ends[i + 1])) for i, name in enumerate(names)}
        self.total = int(ends[-1])

    def of(self, name: str) -> slice:
        return slice(*self._bounds[name])

    def ends(self, pair: Pair, links: Links) -> npt.NDArray[np.int64]:
        """Return (M, 2) numbers of what links connect. Raises StoreError where there is no such keypoint."""
        starts = np.array([self._bounds[name][0] for name in pair])
        ends = links.indices + starts
        if len(ends) and ((links.indices < 0) | (ends >= [self._bounds[name][1] for name in pair])).any():
            raise StoreError(f"the links of {' '.join(pair)} are of other keypoints; refine again with overwrite=True")
        return ends


class Adjustment:
    """The solution for every keypoint; made by `adjust`."""

    def __init__(self, numbering: Numbering, shifts: np.ndarray, precision: np.ndarray, config: RefineConfig) -> None:
        self._numbering = numbering
        self._shifts = shifts
        self._precision = precision
        self._config = config

    def of(self, name: str) -> Keypoints:
        chosen = self._numbering.of(name)
        return judge(np.asarray(self._shifts[chosen]), np.asarray(self._precision[chosen]), self._config)


_BLOCK_BYTES = 1 << 20


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder, gone when the block ends; one that a killed run left is emptied."""
    rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        rmtree(path, ignore_errors=True)


def adjust(
    pairs: Mapping[str, Pair], links: LinksReader, features: KeypointsReader, scratch: Path, config: RefineConfig
) -> Adjustment:
    """Solve for all keypoints. pairs: by entry; those without an entry in `links` are left out.

    scratch: an empty folder that outlives the result. Raises StoreError.
    """
    numbering = Numbering(features)
    count = max(numbering.total, 1)
    try:
        shifts = _mapped(scratch / "shifts", np.float32, (count, 2))
        precision = _mapped(scratch / "precision", np.float32, (count,))
        parts = _split(pairs, links, numbering, scratch)
    except OSError as error:
        raise StoreError(
            f"cannot write {scratch}: {error.strerror or error}; what was registered is kept: make room, then run the "
            "same command again"
        ) from error
    with closing(in_order(_solved, parts, config.workers or os.cpu_count() or 1)) as done:
        for _, future in done:
            keypoints, solution = future.result()
            shifts[keypoints] = solution.shifts
            precision[keypoints] = solution.precision
    return Adjustment(numbering, shifts, precision, config)


def _split(pairs: Mapping[str, Pair], links: LinksReader, numbering: Numbering, scratch: Path) -> list[Path]:
    """Return the links of each part, in a file of its own, in their pairs' order."""
    parents = _mapped(scratch / "parents", np.int64, (max(numbering.total, 1),))
    for start in range(0, len(parents), 1 << 20):
        parents[start : start + (1 << 20)] = np.arange(start, min(start + (1 << 20), len(parents)))
    tracks = Tracks(parents)
    total = 0
    for pair, found in _stored(pairs, links):
        tracks.connect(*numbering.ends(pair, found).T)
        total += len(found)
    if total <= MOST_LINKS:
        part = None
    else:
        counts = _mapped(scratch / "counts", np.int64, parents.shape)
        for pair, found in _stored(pairs, links):
            np.add.at(counts, tracks.roots(numbering.ends(pair, found)[:, 0]), 1)
        part = parts_of(counts, MOST_LINKS)
    folder = scratch / "parts"
    folder.mkdir()
    paths: set[Path] = set()
    for pair, found in _stored(pairs, links):
        ends = numbering.ends(pair, found)
        rows = np.empty(len(found), _LINK)
        rows["ends"], rows["affine"] = ends, found.affines.reshape(-1, 4)
        rows["shift"], rows["information"] = found.shifts, found.information
        numbers = np.zeros(len(found), np.int64) if part is None else part[tracks.roots(ends[:, 0])]
        for number in np.unique(numbers):
            path = folder / f"{number:09}"
            paths.add(path)
            with open(path, "ab") as file:
                file.write(rows[numbers == number].tobytes())
    return sorted(paths)


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """Return zeros in a file, all of whose room is taken at once: a full disk would else kill the process later.

    Raises OSError.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with open(path, "wb") as file:
        for start in range(0, size, _BLOCK_BYTES):
            file.write(bytes(min(_BLOCK_BYTES, size - start)))
    return np.memmap(path, dtype, "r+", shape=shape)


def _stored(pairs: Mapping[str, Pair], links: LinksReader) -> Iterable[tuple[Pair, Links]]:
    for entry, pair in pairs.items():
        if entry in links:
            yield pair, links.load(entry)


def _solved(part: Path) -> tuple[npt.NDArray[np.int64], Solution]:
    """Return the numbers of a part's keypoints, and their solution."""
    rows = np.fromfile(part, _LINK)
    part.unlink()
    keypoints, ends = np.unique(rows["ends"], return_inverse=True)
    ends = ends.reshape(-1, 2)
    links = Links(ends.astype(np.int32), rows["affine"].reshape(-1, 2, 2), rows["shift"], rows["information"])
    return keypoints, solve(Problem(len(keypoints), ends[:, 0], ends[:, 1], links))
