"""Every default of `xfeat export-model` and its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from xfeat_cli.config import GRIDS, MOST_FEATURES, ExtractConfig, convert, require, require_whole
from xfeat_cli.errors import UsageError


class Format(str, Enum):
    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCHSCRIPT = "torchscript"


class Part(str, Enum):
    SPARSE = "sparse"
    DENSE = "dense"
    MATCHER = "matcher"
    REFINER = "refiner"


@dataclass(frozen=True)
class ExportConfig:
    """What is exported.

    format: of the files. parts: which graphs, a file each; empty = all that the weights allow.
    weights: of the network. half: weights and convolutions in float16, decoding in float32; inputs and outputs stay
        float32.
    top_k: rows of the sparse graph's outputs; dense_top_k: of the dense graph's.
    detection_threshold, grids: as for extraction. min_cossim: least cosine of the matcher; None = what the weights ask
        for.
    """

    format: Format = Format.ONNX
    parts: tuple[Part, ...] = ()
    weights: str = "default"
    half: bool = False
    top_k: int = 4096
    dense_top_k: int = 10_000
    detection_threshold: float = ExtractConfig.detection_threshold
    grids: int = ExtractConfig.grids
    min_cossim: float | None = None

    def __post_init__(self) -> None:
        convert(self, format=Format)
        try:
            object.__setattr__(self, "parts", tuple(Part(part) for part in self.parts))
        except ValueError as error:
            raise UsageError(f"{error}; there are {', '.join(part.value for part in Part)}") from None
        require_whole("top_k", self.top_k, 1, MOST_FEATURES)
        require_whole("dense_top_k", self.dense_top_k, 2, MOST_FEATURES)
        require(self.grids in GRIDS, "grids", self.grids, ", ".join(map(str, GRIDS)))
        require(0 <= self.detection_threshold < 1, "detection_threshold", self.detection_threshold, "in [0, 1)")
        if self.min_cossim is not None:
            require(-1 <= self.min_cossim <= 1, "min_cossim", self.min_cossim, "in [-1, 1], -1 = no threshold")
