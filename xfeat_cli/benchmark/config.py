"""What `xfeat bench` measures, and how long. Imports nothing heavy: the command line reads its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from xfeat_cli.config import Backend, ExtractConfig, Precision


class Measurement(str, Enum):
    """The measurements by the names that `--json` gives them."""

    NETWORK_640X480 = "network_640x480"
    SPARSE_640X480 = "sparse_640x480"
    SPARSE_1200X800 = "sparse_1200x800"
    SEMIDENSE_1200X800 = "semidense_1200x800"
    MATCH_4096 = "match_4096"
    REFINE_SEMIDENSE = "refine_semidense"
    EXTRACT_FOLDER = "extract_folder"
    EXTRACT_1536X1024 = "extract_1536x1024"
    EXTRACT_3072X2048 = "extract_3072x2048"
    MATCH_PAIRS = "match_pairs"


@dataclass(frozen=True)
class BenchConfig:
    """only: the measurements to make, all if empty.

    images: folder of photographs, of which the first `most_images` by name are used; None = render the demo scene.
    weights, device, precision, backend, resize, grids: of the default path, as in `ExtractConfig`; the reference path
    runs in fp32 in torch on the same device.
    threads: of each operation of the reference path on a CPU, and images at once of the default path; 0 = one a core.
    seconds: least time for one measurement, both paths together; runs: least number of runs of each path.
    """

    only: tuple[Measurement, ...] = ()
    images: Path | None = None
    most_images: int = 20
    weights: str = "default"
    device: str = "auto"
    precision: Precision = Precision.AUTO
    backend: Backend = Backend.AUTO
    resize: int = ExtractConfig.resize
    grids: int = ExtractConfig.grids
    threads: int = 0
    seconds: float = 6.0
    runs: int = 3

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return self.only or tuple(Measurement)


class Curve(str, Enum):
    """The growth curves by the names that `--json` gives them."""

    EXTRACT_IMAGES = "extract_images"
    EXTRACT_SIZE = "extract_size"
    MATCH_PAIRS = "match_pairs"
    MATCH_KEYPOINTS = "match_keypoints"

    @property
    def job(self) -> str:
        return self.value.split("_")[0]

    @property
    def unit(self) -> str:
        """Return what grows."""
        units = {Curve.EXTRACT_IMAGES: "images", Curve.EXTRACT_SIZE: "megapixels", Curve.MATCH_PAIRS: "pairs"}
        return units.get(self, "keypoints")


@dataclass(frozen=True)
class GrowthConfig:
    """only: the curves to measure, all if empty.

    images: how many, of 640×480; megapixels: of each of 4 images, 4:3, never reduced; pairs: of 1,024 keypoints an
    image; keypoints: of each of 7 images, all pairs. weights, device, precision: as in `ExtractConfig`.
    runs: of each point, of which the fastest counts.
    """

    only: tuple[Curve, ...] = ()
    images: tuple[int, ...] = (8, 16, 32, 64)
    megapixels: tuple[int, ...] = (1, 2, 4, 8)
    pairs: tuple[int, ...] = (32, 64, 128, 256, 512)
    keypoints: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)
    weights: str = "default"
    device: str = "auto"
    precision: Precision = Precision.AUTO
    runs: int = 2

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self.only or tuple(Curve)

    @property
    def sizes(self) -> dict[Curve, tuple[int, ...]]:
        """Return the sizes of the curves to measure."""
        every = dict(zip(Curve, (self.images, self.megapixels, self.pairs, self.keypoints), strict=True))
        return {curve: every[curve] for curve in self.curves}
