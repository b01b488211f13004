"""What flows between the stages: frozen dataclasses of numpy arrays, shapes checked.

Coordinates are (x, y) in pixels of the stored image, (0, 0) at the centre of the top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.signedinteger]
BoolArray = npt.NDArray[np.bool_]

Pair = tuple[str, str]
"""The names of two images."""


@dataclass(frozen=True)
class Features:
    """Local features of one image, best score first.

    keypoints: (N, 2) float32, x and y in stored-image pixels.
    scores: (N,) float32.
    descriptors: (N, D) float32 or float16; unit norm when sparse, raw when semi-dense.
    image_size: (width, height) of the stored image.
    scales: None when sparse; (N,) float32 when semi-dense: network pixels × scale = stored-image pixels.
    orientation: how the stored image was turned for the network, an EXIF number (`coordinates`).
    """

    keypoints: FloatArray
    scores: FloatArray
    descriptors: FloatArray
    image_size: tuple[int, int]
    scales: FloatArray | None = None
    orientation: int = 1

    def __post_init__(self) -> None:
        n = len(self.keypoints)
        _check(self.keypoints.shape == (n, 2), "keypoints", "(N, 2)", self.keypoints)
        _check(self.scores.shape == (n,), "scores", f"({n},)", self.scores)
        _check(self.descriptors.ndim == 2 and len(self.descriptors) == n, "descriptors", f"({n}, D)", self.descriptors)
        if self.scales is not None:
            _check(self.scales.shape == (n,), "scales", f"({n},)", self.scales)

    def __len__(self) -> int:
        return len(self.keypoints)


@dataclass(frozen=True)
class Matches:
    """Matches of two images as indices into their keypoints.

    indices: (M, 2) int32, ascending in the first column; each keypoint at most once.
    scores: (M,) float32, the cosine of the two descriptors for nearest neighbours.
    """

    indices: IntArray
    scores: FloatArray

    def __post_init__(self) -> None:
        m = len(self.indices)
        _check(self.indices.shape == (m, 2), "indices", "(M, 2)", self.indices)
        _check(self.scores.shape == (m,), "scores", f"({m},)", self.scores)

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class PointMatches:
    """Matches of two images as coordinates (semi-dense, refined at both ends).

    points0, points1: (M, 2) float32, stored-image pixels of image 0 and image 1.
    scores: (M,) float32 in [0, 1], the refiner's confidence.
    """

    points0: FloatArray
    points1: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        m = len(self.points0)
        _check(self.points0.shape == (m, 2), "points0", "(M, 2)", self.points0)
        _check(self.points1.shape == (m, 2), "points1", f"({m}, 2)", self.points1)
        _check(self.scores.shape == (m,), "scores", f"({m},)", self.scores)

    def __len__(self) -> int:
        return len(self.points0)


@dataclass(frozen=True)
class Links:
    """What registration says of a pair's matches; lengths in units of each image's keypoint uncertainty.

    A link says that what image 0 shows at its keypoint, moved by d, is seen in image 1 at the keypoint there, moved by
    affines @ d + shifts. The information matrix (inverse covariance, 1/units²) says how surely.

    indices: (M, 2) int32, keypoints of the two images. affines: (M, 2, 2) float32. shifts: (M, 2) float32.
    information: (M, 3) float32, its entries xx, xy and yy.
    """

    indices: IntArray
    affines: FloatArray
    shifts: FloatArray
    information: FloatArray

    def __post_init__(self) -> None:
        m = len(self.indices)
        _check(self.indices.shape == (m, 2), "indices", "(M, 2)", self.indices)
        _check(self.affines.shape == (m, 2, 2), "affines", f"({m}, 2, 2)", self.affines)
        _check(self.shifts.shape == (m, 2), "shifts", f"({m}, 2)", self.shifts)
        _check(self.information.shape == (m, 3), "information", f"({m}, 3)", self.information)

    def __len__(self) -> int:
        return len(self.indices)

    def of(self, chosen: IndexArray | BoolArray) -> Links:
        """Return those that an index array or a mask chooses."""
        return Links(self.indices[chosen], self.affines[chosen], self.shifts[chosen], self.information[chosen])

    @classmethod
    def empty(cls) -> Links:
        rows = ((0, 2), (0, 2, 2), (0, 2), (0, 3))
        return cls(np.zeros(rows[0], np.int32), *(np.zeros(shape, np.float32) for shape in rows[1:]))


def _check(condition: bool, name: str, expected: str, array: np.ndarray) -> None:
    if not condition:
        raise ValueError(f"{name} must have shape {expected}, not {array.shape}")
