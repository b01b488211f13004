"""Every default of reconstruction and its meaning, one config a stage; as `config`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from xfeat_cli.config import ExtractConfig, MatchConfig, RefineConfig, convert, require, require_whole
from xfeat_cli.errors import UsageError
from xfeat_cli.pairing.config import PairConfig

MOST_SEED = 2**31 - 1
"""COLMAP keeps seeds as 32-bit numbers."""


class CameraSharing(str, Enum):
    """Which images one camera took.

    single: all; per-folder: those of a folder; per-image: one each. auto: those whose EXIF names the same maker, model,
    lens and focal lengths; without EXIF those of one folder, where most of them were encoded alike. A camera is always
    of images of one size.
    """

    SINGLE = "single"
    PER_FOLDER = "per-folder"
    AUTO = "auto"
    PER_IMAGE = "per-image"


class Mapper(str, Enum):
    INCREMENTAL = "incremental"
    GLOBAL = "global"
    HIERARCHICAL = "hierarchical"


@dataclass(frozen=True)
class AggregateConfig:
    """How the points of many semi-dense pairs become keypoints.

    radius: points of one image within this distance of a keypoint become that keypoint; stored-image px.
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.radius < float("inf"), "radius", self.radius, "more than 0 px")


@dataclass(frozen=True)
class CameraConfig:
    """Which cameras a database holds.

    model: COLMAP's name. sharing: which images share a camera. params: what the parameters are to begin with, in
    COLMAP's order and convention (pixels; the centre of the first pixel is (0.5, 0.5)), for every camera; None = from
    EXIF, or a guess. A string of numbers with commas between is converted.
    """

    model: str = "SIMPLE_RADIAL"
    sharing: CameraSharing = CameraSharing.AUTO
    params: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        convert(self, sharing=CameraSharing)
        if self.params is not None:
            object.__setattr__(self, "params", parse_params(self.params))


def parse_params(params: Any) -> tuple[float, ...]:
    """Return parameters of a camera from numbers, or a string of them with commas between. Raises UsageError."""
    try:
        numbers = tuple(map(float, params.split(",") if isinstance(params, str) else params))
    except (TypeError, ValueError):
        raise UsageError(f"params is {params!r}; it must be numbers with commas between") from None
    require(all(map(math.isfinite, numbers)) and bool(numbers), "params", params, "finite numbers")
    return numbers


@dataclass(frozen=True)
class VerificationConfig:
    """How two-view geometries are estimated. threads: −1 = all. seed: of the random choices."""

    threads: int = -1
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("threads", self.threads, -1, 1024)
        require_whole("seed", self.seed, 0, MOST_SEED)


@dataclass(frozen=True)
class MappingConfig:
    """How a verified database becomes models.

    mapper: COLMAP's incremental mapper, its global one (GLOMAP), or the incremental one on parts that are then joined.
    refine_principal_point: estimate the principal points too, when all else is mapped; without it they stay in the
        image centres, and a real camera's, some pixels off, turns every pose. None = those of cameras that at least ten
        registered images share; with few it trades the poses for it.
    threads: −1 = all.
    seed: of the random choices. The same seed and threads give the same model; where several threads add up large
        models (incremental: from 50,000 residuals on; global), it differs in the last digits.
    robust: adjust the whole model once more, when all else is mapped, with a loss that outliers do not pull (Cauchy).
    georegister: move the models to where GPS or a list says that the photographs were taken, into metres east, north
        and up of an origin; their shape stays.
    """

    mapper: Mapper = Mapper.INCREMENTAL
    refine_principal_point: bool | None = None
    threads: int = -1
    seed: int = 0
    robust: bool = True
    georegister: bool = True

    def __post_init__(self) -> None:
        convert(self, mapper=Mapper)
        require_whole("threads", self.threads, -1, 1024)
        require_whole("seed", self.seed, 0, MOST_SEED)


@dataclass(frozen=True)
class SfmConfig:
    """How a folder of photographs becomes a reconstruction: a config for each stage. refinement: None = left out."""

    extraction: ExtractConfig = field(default_factory=ExtractConfig)
    pairing: PairConfig = field(default_factory=PairConfig)
    matching: MatchConfig = field(default_factory=MatchConfig)
    aggregation: AggregateConfig = field(default_factory=AggregateConfig)
    refinement: RefineConfig | None = field(default_factory=RefineConfig)
    cameras: CameraConfig = field(default_factory=CameraConfig)
    verification: VerificationConfig = field(default_factory=VerificationConfig)
    mapping: MappingConfig = field(default_factory=MappingConfig)
