"""What `xfeat bench` measures, and how long. Imports nothing heavy: the command line reads its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from xfeat_cli.config import Backend, Precision


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
    weights, device, precision, backend, resize: of the default path, as in `ExtractConfig`; the reference path runs in
    fp32 in torch on the same device.
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
    resize: int = 1200
    threads: int = 0
    seconds: float = 6.0
    runs: int = 3

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return self.only or tuple(Measurement)
