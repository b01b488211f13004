"""Every default of aggregation, COLMAP export and reconstruction, and its meaning; as `config`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CameraSharing(str, Enum):
    """Which images one camera took: one for all, one a folder, one for those whose EXIF says so, one each.

    The first two make another camera for each size of images, such as those taken upright.
    """

    SINGLE = "single"
    PER_FOLDER = "per-folder"
    AUTO = "auto"
    PER_IMAGE = "per-image"


class Mapper(str, Enum):
    INCREMENTAL = "incremental"
    GLOBAL = "global"


class PairKind(str, Enum):
    EXHAUSTIVE = "exhaustive"
    SEQUENTIAL = "sequential"
    RETRIEVAL = "retrieval"


@dataclass(frozen=True)
class AggregateConfig:
    """How the points of many semi-dense pairs become keypoints.

    radius: points of one image within this distance of a keypoint become that keypoint; stored-image px.
    """

    radius: float = 1.0


@dataclass(frozen=True)
class ColmapConfig:
    """How COLMAP is to make a database, verify and map.

    camera_model: COLMAP's name. sharing: which images share a camera.
    refine_principal_point: estimate the principal points too, when all else is mapped; without it they stay in the
        image centres, and a real camera's, some pixels off, turns every pose. Needs a camera shared by many images that
        look in different directions; with few it trades the poses for it.
    threads: of verification and mapping; −1 = all.
    seed: of their random choices. The same seed and threads give the same model; where several threads add up large
        models (incremental: from 50,000 residuals on; global), it differs in the last digits.
    """

    camera_model: str = "SIMPLE_RADIAL"
    sharing: CameraSharing = CameraSharing.AUTO
    refine_principal_point: bool = False
    threads: int = -1
    seed: int = 0


@dataclass(frozen=True)
class SfmConfig:
    """How a folder becomes a reconstruction, beyond how features and matches are made.

    pairs: which images are matched.
    overlap: how many following images each is paired with when sequential; quadratic: also with those 1, 2, 4, …
    2^(overlap − 1) ahead; loop_closure: every `loop_period`th image also with this many that look alike, 0 = none.
    num: how many images that look alike each is paired with when by retrieval.
    mapper: COLMAP's incremental or global (GLOMAP) mapper.
    """

    pairs: PairKind = PairKind.EXHAUSTIVE
    overlap: int = 10
    quadratic: bool = False
    loop_closure: int = 0
    loop_period: int = 10
    num: int = 20
    mapper: Mapper = Mapper.INCREMENTAL
