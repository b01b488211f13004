"""The network in onnxruntime, built from weights in memory; no model file is read or written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xfeat_cli.model import heatmap, onnx_file
from xfeat_cli.model.network import CELL, STRIDE, XFeatNetwork

_FEATURES, _KEYPOINTS, _BLOCKS, _RELIABILITY = "features", "keypoints", "blocks", "reliability"

_PROVIDERS = {
    "cuda": ("CUDAExecutionProvider",),
    "mps": ("CoreMLExecutionProvider",),
    "cpu": ("DmlExecutionProvider", "CPUExecutionProvider"),
}
"""By kind of device, what onnxruntime may compute with, the best first; DirectML is in a build of its own."""


def is_installed() -> bool:
    """Return whether onnxruntime, and what writes its models, can be imported; they are not."""
    return find_spec("onnxruntime") is not None and onnx_file.is_installed()


def providers(device: torch.device) -> list[str]:
    """Return those of this onnxruntime that suit a device, the best first."""
    available = import_module("onnxruntime").get_available_providers()
    return [name for name in _PROVIDERS[device.type] if name in available]


class OnnxNetwork:
    """A folded network, in float32. On a CPU each call computes on its own thread, and several may call at once."""

    def __init__(self, network: XFeatNetwork, device: torch.device) -> None:
        self._network = network
        self._of_blocks = heatmap.head_of_blocks(network.keypoint_head)
        self._device = device
        self._sessions: dict[tuple[str, ...], Any] = {}
        self._lock = threading.Lock()

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.heads`."""
        features, logits, reliability = self._run(image, _FEATURES, _KEYPOINTS, _RELIABILITY)
        return features, logits, reliability

    def cells(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Behave as `Runtime.cells`."""
        features, reliability = self._run(image, _FEATURES, _RELIABILITY)
        return features, reliability

    def sparse_heads(self, image: Tensor, grids: int) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.sparse_heads`."""
        if grids == 4:
            features, logits, reliability = self._run(image, _FEATURES, _BLOCKS, _RELIABILITY)
            return features, heatmap.from_block_logits(logits), reliability
        features, logits, reliability = self.heads(image)
        first = heatmap.from_logits(logits)
        return features, heatmap.averaged(first, self._keypoint_logits, image, grids), reliability

    def _keypoint_logits(self, image: Tensor) -> Tensor:
        return self._run(image, _KEYPOINTS)[0]

    def _run(self, image: Tensor, *names: str) -> list[Tensor]:
        outputs = self._session(names).run(None, {"image": image.float().cpu().contiguous().numpy()})
        return [torch.from_numpy(output).to(self._device) for output in outputs]

    def _session(self, names: tuple[str, ...]) -> Any:
        with self._lock:
            if names not in self._sessions:
                self._sessions[names] = self._made(names)
            return self._sessions[names]

    def _made(self, names: Sequence[str]) -> Any:
        onnxruntime = import_module("onnxruntime")
        graph = _Graph(self._network, self._of_blocks, tuple(names))
        free = {0: "batch", 2: "height", 3: "width"}
        content = onnx_file.as_onnx(
            graph,
            {"image": torch.zeros(1, 1, 2 * STRIDE, 3 * STRIDE)},
            tuple(names),
            {"image": free, **{name: {0: "batch", 2: f"rows_{name}", 3: f"columns_{name}"} for name in names}},
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(content, options, providers=providers(self._device))


class _Graph(nn.Module):
    """Prepared images (B, 1, H, W) → the outputs of some names."""

    def __init__(self, network: XFeatNetwork, of_blocks: nn.Sequential, names: tuple[str, ...]) -> None:
        super().__init__()
        self._network, self._of_blocks, self._names = network, of_blocks, names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = {}
        if _FEATURES in self._names:
            outputs[_FEATURES] = self._network.describe(image)
            outputs[_RELIABILITY] = self._network.heatmap_head(outputs[_FEATURES])
        if _KEYPOINTS in self._names:
            outputs[_KEYPOINTS] = self._network.keypoint_head(F.pixel_unshuffle(image, CELL))
        if _BLOCKS in self._names:
            outputs[_BLOCKS] = self._of_blocks(F.pixel_unshuffle(image, heatmap.BLOCK))
        return tuple(outputs[name] for name in self._names)
