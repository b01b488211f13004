"""What the network sees in a photograph: the keypoint heatmap and the reliability."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.config import ExtractConfig
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.model.decode import prepare
from xfeat_cli.model.network import CELL
from xfeat_cli.types import Features, FloatArray
from xfeat_cli.xfeat import XFeat


@dataclass(frozen=True)
class Layers:
    """heatmap: probability of a keypoint; reliability: of a good descriptor. Both (H, W) at the network's size."""

    heatmap: FloatArray
    reliability: FloatArray


class LayerSource:
    """The network of a features file's options, or of the defaults. Raises WeightsError, UsageError."""

    def __init__(self, made_with: dict[str, Any]) -> None:
        options = {
            name: made_with[f"xfeat_{name}"]
            for name in ("weights", "resize", "grids", "detection_threshold", "top_k")
            if f"xfeat_{name}" in made_with and made_with.get("xfeat_mode") == "sparse"
        }
        self._xfeat = XFeat(ExtractConfig(**options))

    def layers(self, name: str, path: Path) -> Layers:
        """Raises ImageError."""
        photo = read_photo(ImageFile(name, path), self._xfeat.config.resize)
        runtime = self._xfeat.runtime
        prepared = prepare(runtime.upload([photo.gray]))
        _, heatmap, reliability = runtime.sparse_heads(prepared, self._xfeat.config.grids)
        height, width = photo.gray.shape
        spread = np.kron(reliability[0, 0].float().cpu().numpy(), np.ones((CELL, CELL), np.float32))
        return Layers(heatmap[0, :height, :width].float().cpu().numpy(), spread[:height, :width])

    def features(self, name: str, path: Path) -> Features:
        """Raises ImageError."""
        return self._xfeat.detect_photos([read_photo(ImageFile(name, path), self._xfeat.config.resize)])[0]
