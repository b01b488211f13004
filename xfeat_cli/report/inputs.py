"""What a report is made of, as plain arrays, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.sfm.model import SparseModel

IndexArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """How a photograph looks, from its thumbnail: mean and standard deviation of its grays, 0…255, and sharpness,
    the standard deviation of its Laplacian."""

    brightness: float
    contrast: float
    sharpness: float


@dataclass
class PhotoFacts:
    """A photograph. size: (width, height), (0, 0) when not known. keypoints: None when there is no features file.

    coverage: share of the cells of a 16 × 12 grid that hold a keypoint. problem: why it has no features.
    position: from GPS, earth-centred, metres (3,).
    """

    name: str
    size: tuple[int, int] = (0, 0)
    keypoints: int | None = None
    coverage: float | None = None
    problem: str = ""
    look: Look | None = None
    position: Float64Array | None = None


@dataclass(frozen=True)
class Pairs:
    """images: (P, 2) rows of the photographs, the first before the second. matches, inliers: (P,).

    verified_by: what tells inliers, in words.
    """

    images: IndexArray
    matches: IndexArray
    inliers: IndexArray
    verified_by: str

    @classmethod
    def none(cls) -> Pairs:
        nothing = np.zeros(0, np.int64)
        return cls(nothing.reshape(0, 2), nothing, nothing, "")


@dataclass
class Inputs:
    """photos: sorted by name. models: the largest first. keypoint_density: (12, 16), keypoints by place in the image.

    run: options, versions, weights and stages, as far as they are known.
    """

    folder: str
    photos: list[PhotoFacts]
    pairs: Pairs
    models: list[SparseModel]
    keypoint_density: Float64Array | None = None
    run: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
