"""Every default and its meaning. The command line reads its defaults from here.

A config checks itself: a string where an enum is meant is converted or refused, and a value out of its range is refused
with a UsageError that names the parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from xfeat_cli.errors import UsageError


class Mode(str, Enum):
    SPARSE = "sparse"
    SEMI_DENSE = "semi-dense"


class Decoding(str, Enum):
    DEFAULT = "default"
    REFERENCE = "reference"


class MatcherKind(str, Enum):
    NEAREST = "nearest"
    LIGHTERGLUE = "lighterglue"


class Precision(str, Enum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Backend(str, Enum):
    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"


class Rotations(str, Enum):
    NONE = "0"
    AUTO = "auto"
    ALL = "4"


TILE_SIDE, LARGEST_WHOLE = 2048, 16_000_000
"""Of images of more pixels than this, the network sees tiles of that side."""

GRIDS = (1, 2, 4)
"""How many grids of cells keypoints can be averaged over."""

MOST_FEATURES = 10_000_000
"""More features of one image than any file of features may hold."""

TOP_K = {Mode.SPARSE: 4096, Mode.SEMI_DENSE: 10_000}


@dataclass(frozen=True)
class ExtractConfig:
    """How features are made.

    mode: sparse keypoints, or semi-dense cells to be refined while matching.
    weights: a shipped or downloaded name, or a path to a .safetensors or .pt file.
    top_k: most features an image may have; None = 4096 sparse, 10,000 semi-dense.
    resize: longest side in px that the network sees; larger images are reduced to it by area averaging, a JPEG of at
        least twice that first to a half, a quarter or an eighth by its decoder; 0 = never.
    upright: turn what the network sees as the file's EXIF orientation asks; keypoints stay those of the stored image.
    rotations: which quarter turns are tried for photographs of a collection that match none of the others: 0 = none;
        auto = all, for some of them, and for more where that helps; 4 = all, for each of them.
    tiles: side in px of the overlapping tiles in which the network sees larger images, at least 768; 0 = never; None =
        2048 for images of which it would see more than 16 megapixels. A tile gives what the whole image would; where
        there are more than top_k features, they are spread over the tiles.
    detection_threshold: least heatmap probability of a sparse keypoint.
    grids: placements of the keypoint head's grid of cells that sparse keypoints are averaged over, 1, 2 or 4: more are
        more precise and slower.
    decoding: ours, or the authors' arithmetic with its known faults.
    device: auto, cpu, cuda, cuda:N or mps; for a collection also several GPUs with commas between.
    precision: arithmetic of the network; auto = fp16 on CUDA; on a CPU bf16 where that was measured to be much faster
        (`model/calibration.py`; `xfeat bench --calibrate` measures again), else fp32.
    backend: what computes the network; auto = on a CPU what was measured to be fastest, OpenVINO if it is installed or
        torch; else torch.
    batch_size: images of one size that a GPU sees at once; None = chosen for the device.
    """

    mode: Mode = Mode.SPARSE
    weights: str = "default"
    top_k: int | None = None
    resize: int = 1200
    upright: bool = True
    rotations: Rotations = Rotations.AUTO
    tiles: int | None = None
    detection_threshold: float = 0.05
    grids: int = 4
    decoding: Decoding = Decoding.DEFAULT
    device: str = "auto"
    precision: Precision = Precision.AUTO
    backend: Backend = Backend.AUTO
    batch_size: int | None = None

    def __post_init__(self) -> None:
        convert(self, mode=Mode, rotations=Rotations, decoding=Decoding, precision=Precision, backend=Backend)
        if self.top_k is not None:
            require_whole("top_k", self.top_k, 1, MOST_FEATURES)
        require_whole("resize", self.resize, 0, 1 << 20, "a longest side in px, or 0 for none")
        if self.tiles:
            require_whole("tiles", self.tiles, 768, 1 << 20, "a side of at least 768 px, or 0 for none")
        require(self.grids in GRIDS, "grids", self.grids, ", ".join(map(str, GRIDS)))
        require(0 <= self.detection_threshold < 1, "detection_threshold", self.detection_threshold, "in [0, 1)")
        if self.batch_size is not None:
            require_whole("batch_size", self.batch_size, 1, 1 << 16)

    def tile_side(self, height: int, width: int) -> int:
        """Return the side of the tiles in which the network sees an image of that size; 0 = it sees it whole."""
        if self.tiles is None:
            return TILE_SIDE if height * width > LARGEST_WHOLE else 0
        return self.tiles if max(height, width) > self.tiles else 0

    @property
    def features_per_image(self) -> int:
        return TOP_K[self.mode] if self.top_k is None else self.top_k


@dataclass(frozen=True)
class FramesConfig:
    """Which frames of a video are kept.

    fps: the sharpest of every 1 / fps seconds; None = as many as the motion asks for: sharp ones between which the
        scene moves by 3 to 8 % of the image's longest side.
    max_frames: at most so many, taken evenly from those chosen; None = all of them.
    """

    fps: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.fps is not None:
            require(0 < self.fps <= 1000, "fps", self.fps, "more than 0 and at most 1000")
        if self.max_frames is not None:
            require_whole("max_frames", self.max_frames, 2, 10_000_000)


@dataclass(frozen=True)
class MatchConfig:
    """How features are matched.

    matcher: mutual nearest neighbours, or the authors' learned LighterGlue (sparse features only).
    min_cossim: least cosine of a match; −1 = none; None = what the weights' metadata asks for when sparse, none when
        semi-dense, where the refiner's confidence decides.
    ratio: most that the distance to the nearest descriptor may be of that to the second nearest; 1 = no test.
    min_confidence: least confidence of a refined semi-dense match; None = what suits the weights' refiner.
    min_score: least probability of a LighterGlue match.
    weights: those that hold the refiner of semi-dense features, None = those the features name; with LighterGlue,
        those of the matcher, None = the downloaded ones.
    device: as for extraction, or several GPUs with commas between.
    precision: of the similarities; auto = fp16 on CUDA, fp32 elsewhere.
    """

    matcher: MatcherKind = MatcherKind.NEAREST
    min_cossim: float | None = None
    ratio: float = 1.0
    min_confidence: float | None = None
    min_score: float = 0.1
    weights: str | None = None
    device: str = "auto"
    precision: Precision = Precision.AUTO

    def __post_init__(self) -> None:
        convert(self, matcher=MatcherKind, precision=Precision)
        if self.min_cossim is not None:
            require(-1 <= self.min_cossim <= 1, "min_cossim", self.min_cossim, "in [-1, 1], -1 = no threshold")
        require(0 < self.ratio <= 1, "ratio", self.ratio, "in (0, 1], 1 = no test")
        if self.min_confidence is not None:
            require(0 <= self.min_confidence <= 1, "min_confidence", self.min_confidence, "in [0, 1]")
        require(0 <= self.min_score < 1, "min_score", self.min_score, "in [0, 1)")
        if self.matcher is MatcherKind.LIGHTERGLUE:
            if self.min_cossim is not None or self.ratio != 1:
                raise UsageError("min_cossim and ratio belong to matcher=nearest; LighterGlue has min_score")
            if self.precision not in (Precision.AUTO, Precision.FP32):
                raise UsageError(f"precision={self.precision.value}: LighterGlue runs in fp32; leave the precision out")


@dataclass(frozen=True)
class RefineConfig:
    """How matches are registered photometrically, and which of them are kept.

    Lengths are in units of a keypoint's own uncertainty: the pixel that the network saw, where the file says so.

    resize: longest side in px of the images that are registered; larger ones are reduced to it, 0 = never.
    epipolar_tolerance: most distance from an inlier to its epipolar line.
    least_inliers, least_inlier_share: a pair with fewer, or less of its matches, is left as it is.
    least_correlation: of the two windows of a match, below which it is not registered.
    longest_shift: most that registration may move a match, and longest_move a keypoint.
    least_refined: a pair with fewer matches that agree keeps all its matches.
    most_residual: most that a kept match may disagree with the others of its keypoints.
    workers: pairs registered at once; 0 = as many as there are cores.
    """

    resize: int = 3200
    epipolar_tolerance: float = 2.4
    least_inliers: int = 20
    least_inlier_share: float = 0.15
    least_correlation: float = 0.8
    longest_shift: float = 1.6
    longest_move: float = 1.2
    least_refined: int = 50
    most_residual: float = 0.24
    workers: int = 0

    def __post_init__(self) -> None:
        require_whole("resize", self.resize, 0, 1 << 20, "a longest side in px, or 0 for none")
        for name in ("epipolar_tolerance", "longest_shift", "longest_move", "most_residual"):
            require(0 < getattr(self, name) < float("inf"), name, getattr(self, name), "more than 0")
        require(-1 <= self.least_correlation < 1, "least_correlation", self.least_correlation, "in [-1, 1)")
        require(0 <= self.least_inlier_share <= 1, "least_inlier_share", self.least_inlier_share, "in [0, 1]")
        require_whole("least_inliers", self.least_inliers, 8, 1 << 20)
        require_whole("least_refined", self.least_refined, 0, 1 << 20)
        require_whole("workers", self.workers, 0, 1024)


def convert(config: Any, **enums: type[Enum]) -> None:
    """Turn strings in a config's fields into the enums that they name. Raises UsageError for other values."""
    for name, enum in enums.items():
        value = getattr(config, name)
        try:
            object.__setattr__(config, name, enum(value))
        except ValueError:
            known = " or ".join(str(member.value) for member in enum)
            raise UsageError(f"{name} is {value!r}; it must be {known}") from None


def require(condition: bool, name: str, value: object, wanted: str) -> None:
    """Raise UsageError unless the condition holds; NaN fails every comparison, as it should."""
    if not condition:
        raise UsageError(f"{name} is {value}; it must be {wanted}")


def require_whole(name: str, value: object, least: int, most: int, wanted: str = "") -> None:
    """Raise UsageError unless a value is a whole number from `least` to `most`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(
        whole and least <= value <= most,  # type: ignore[operator]
        name,
        value,
        wanted or f"a whole number from {least} to {most}",
    )
