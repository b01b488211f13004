"""What a COLMAP database says of its pairs: how many matches, which of them verification kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import from_colmap
from xfeat_cli.errors import SfmError
from xfeat_cli.sfm.engine import pycolmap

IndexArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PairTable:
    """The pairs that were matched. names: of all images, sorted. keypoints: (N,) how many each has.

    images: (P, 2) rows of `names`, the first before the second. matches, inliers: (P,).
    """

    names: list[str]
    keypoints: IndexArray
    images: IndexArray
    matches: IndexArray
    inliers: IndexArray


@dataclass(frozen=True)
class PairPoints:
    """The matches of a pair as points (M, 2) of both images, stored-image pixels; inlier: (M,) bool."""

    points0: FloatArray
    points1: FloatArray
    inlier: npt.NDArray[np.bool_]


class VerifiedPairs:
    """An open database. Made by `open_verified`."""

    def __init__(self, path: Path, database: Any) -> None:
        self.path = path
        self._database = database
        self._numbers = {image.name: int(image.image_id) for image in database.read_all_images()}

    def table(self) -> PairTable:
        """Return counts of all pairs; no matches are read."""
        names = sorted(self._numbers)
        keypoints = [self._database.num_keypoints_for_image(self._numbers[name]) for name in names]
        matched = dict(zip(*self._database.read_num_matches(), strict=True))
        kept = dict(zip(*self._database.read_two_view_geometry_num_inliers(), strict=True))
        pairs = sorted(matched.keys() | kept.keys())
        rows = {self._numbers[name]: row for row, name in enumerate(names)}
        images = np.array(
            [sorted(rows[number] for number in pycolmap().pair_id_to_image_pair(pair)) for pair in pairs], np.int64
        ).reshape(-1, 2)
        return PairTable(
            names,
            np.array(keypoints, np.int64),
            images,
            np.array([matched.get(pair, 0) for pair in pairs], np.int64),
            np.array([kept.get(pair, 0) for pair in pairs], np.int64),
        )

    def points(self, name0: str, name1: str) -> PairPoints | None:
        """Return the matches of two images, whichever order they are stored in; None when there are none."""
        if name0 not in self._numbers or name1 not in self._numbers:
            return None
        number0, number1 = self._numbers[name0], self._numbers[name1]
        if not self._database.exists_matches(number0, number1):
            return None
        matches = np.asarray(self._database.read_matches(number0, number1), np.int64).reshape(-1, 2)
        inlier = np.zeros(len(matches), bool)
        if self._database.exists_two_view_geometry(number0, number1):
            kept = np.asarray(self._database.read_two_view_geometry(number0, number1).inlier_matches, np.int64)
            inlier = np.isin(_as_one(matches), _as_one(kept.reshape(-1, 2)))
        keypoints0, keypoints1 = self._keypoints(number0), self._keypoints(number1)
        within = (matches < (len(keypoints0), len(keypoints1))).all(axis=1)
        matches, inlier = matches[within], inlier[within]
        return PairPoints(keypoints0[matches[:, 0]], keypoints1[matches[:, 1]], inlier)

    def keypoints(self, name: str) -> FloatArray:
        """Return keypoints (N, 2) of an image, stored-image pixels. Raises KeyError."""
        return self._keypoints(self._numbers[name])

    def _keypoints(self, number: int) -> FloatArray:
        if not self._database.exists_keypoints(number):
            return np.zeros((0, 2), np.float32)
        return from_colmap(np.asarray(self._database.read_keypoints(number), np.float32)[:, :2])


@contextmanager
def open_verified(path: Path) -> Iterator[VerifiedPairs]:
    """Open a COLMAP database for reading. Raises SfmError when it is missing or is none."""
    if not path.is_file():
        raise SfmError(f"{path} does not exist; make it with `xfeat colmap` or `xfeat sfm`")
    try:
        database = pycolmap().Database.open(path)
    except (RuntimeError, ValueError, OSError) as error:
        raise SfmError(f"{path} is no COLMAP database that can be read ({error})") from None
    with database:
        yield VerifiedPairs(path, database)


def _as_one(matches: IndexArray) -> IndexArray:
    return matches[:, 0] << 32 | matches[:, 1]
