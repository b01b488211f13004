"""The network in OpenVINO, built from weights in memory; no model file is read or written.

Each request runs on one thread of its own, so that the result does not depend on the number of cores, and several
threads may ask at once.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xfeat_cli.model import heatmap
from xfeat_cli.model.network import CELL, DESCRIPTOR_DIM, BasicLayer, XFeatNetwork
from xfeat_cli.model.torch_network import ends
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import library as native_library

_SKIP = 4
"""Side of the blocks that the skip connection averages."""

_CONVERTER = "openvino.tools.ovc"

_FIRST_USE = threading.Lock()

_WORTH_COMPILING = 8
"""Images of a shape before it gets a graph of its own."""

_SHAPES_AT_ONCE = 2
"""Shapes, of each set of outputs, that get one at once."""

_SHAPES_KEPT = 4
"""Each holds some 60 MB at 1200×800."""

_FEATURES, _KEYPOINTS, _RELIABILITY = _HEADS = ("features", "keypoints", "reliability")
_BLOCKS = "keypoints of blocks"
"""Behave as `heatmap.head_of_blocks` gives them."""
_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def is_installed() -> bool:
    """Return whether OpenVINO can be imported; it is not."""
    return find_spec("openvino") is not None


def runs_bf16() -> bool:
    """Return whether OpenVINO multiplies bfloat16 on this processor, rather than fall back to float32 in silence."""
    return "BF16" in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def library() -> Any:
    """Return the OpenVINO package, loaded once, whichever thread asks first."""
    with _FIRST_USE:
        return _loaded()


@cache
def _loaded() -> Any:
    """Return the package, without its model converter: that one reports every import to its makers, over the
    network.
    """
    first = "openvino" not in sys.modules
    if first:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        openvino = import_module("openvino")
    finally:
        if first:
            del sys.modules[_CONVERTER]
    # Version 2026.4 deadlocks with Python's own lock when two threads convert an array for the first time at once.
    np.array(openvino.Tensor(np.zeros(1, np.float32), shared_memory=True).data)
    return openvino


class OpenVinoNetwork:
    """A folded network (batch norm inside the convolutions) on the CPU.

    streams: requests that run at the same time, each on one thread; more of them wait.
    bf16: all but the network's `ends`, which torch then computes.
    """

    def __init__(self, network: XFeatNetwork, streams: int, bf16: bool) -> None:
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            # Pinned threads of two processes would share one core and leave another idle.
            "ENABLE_CPU_PINNING": False,
            # Of the 5000 kernels that it would keep, a size of image needs about 50, in megabytes.
            "CPU_RUNTIME_CACHE_CAPACITY": 500,
        }
        of_blocks = heatmap.head_of_blocks(network.keypoint_head)
        self._layers, self._bf16 = heatmap.layers_of_blocks(of_blocks), bf16
        heads = zip((*_HEADS, _BLOCKS), (*ends(network), (of_blocks, len(of_blocks) - 1)), strict=True)
        self._ends = {name: head[last:] for name, (head, last) in heads} if bf16 else {}
        weight, bias = heatmap.layers_of_blocks(nn.Sequential(network.block_fusion[2]))[0]
        self._describing = native.panels(weight), bias
        core = library().Core()

        def compiled(names: tuple[str, ...], shape: tuple[int, ...] | None) -> Any:
            layers = list(of_blocks)[: -1 if bf16 else None]
            model = _model(network, layers, names, shape, with_ends=not bf16)
            return core.compile_model(model, "CPU", options)

        self._graphs = Graphs(compiled)

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.heads`, float32, channels last in memory."""
        features, logits, reliability = self._run(image, _FEATURES, _KEYPOINTS, _RELIABILITY)
        return features, logits, reliability

    def cells(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Behave as `Runtime.cells`, float32, channels last in memory."""
        features, reliability = self._run(image, _FEATURES, _RELIABILITY)
        return features, reliability

    def keypoint_logits(self, image: Tensor) -> Tensor:
        """Behave as `TorchNetwork.keypoint_logits`, float32, channels last in memory."""
        return self._run(image, _KEYPOINTS)[0]

    def sparse_heads(self, image: Tensor, grids: int) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.sparse_heads`, float32; descriptors and reliability are channels last in memory."""
        if grids < 4:
            features, logits, reliability = self.heads(image)
            first = heatmap.from_logits(logits)
            return features, heatmap.averaged(first, self.keypoint_logits, image, grids), reliability
        heat = heatmap.in_one_pass(image, self._layers, self._bf16)
        if heat is not None:
            features, reliability = self.cells(image)
            return features, heat, reliability
        features, logits, reliability = self._run(image, _FEATURES, _BLOCKS, _RELIABILITY)
        return features, heatmap.from_block_logits(logits), reliability

    def _run(self, image: Tensor, *names: str) -> list[Tensor]:
        # A request's outputs are its own, so each call has a request of its own and nothing is copied.
        request = self._graphs.get(names, tuple(image.shape)).create_infer_request()
        outputs = request.infer([image.float().contiguous().numpy()], share_inputs=True, share_outputs=True)
        return [self._ended(name, np.asarray(output)) for name, output in zip(names, outputs.values(), strict=True)]

    def _ended(self, name: str, output: np.ndarray) -> Tensor:
        """Return an output of the graph (B, h, w, C), with its end in float32 if the graph lacks it: (B, C, h, w)."""
        loaded = native_library()
        if name == _FEATURES and self._ends and loaded is not None and loaded.multiplies_fast:
            values = native.linear(loaded, output.reshape(-1, DESCRIPTOR_DIM), *self._describing, rectify=False)
            return torch.from_numpy(values.reshape(output.shape)).permute(_CHANNELS_FIRST)
        tensor = torch.from_numpy(output).permute(_CHANNELS_FIRST)
        return self._ends[name](tensor) if name in self._ends else tensor


class Graphs:
    """Compiled graphs: of the first shapes and of those that come often their own, and one for images of any shape.

    One of a fixed shape takes two thirds of the time, and gives the same bits; it costs memory, and as much time to
    compile as `_WORTH_COMPILING` images gain. Most folders hold photographs of one size, upright or lying, and need no
    other. Threads may share this.

    compiled: (names of the outputs, image shape or None for any) → the graph.
    """

    def __init__(self, compiled: Callable[[tuple[str, ...], tuple[int, ...] | None], Any]) -> None:
        self._compile = compiled
        self._of_any_shape: dict[tuple[str, ...], Any] = {}
        self._of_one_shape: OrderedDict[tuple[tuple[str, ...], tuple[int, ...]], Any] = OrderedDict()
        self._uses: Counter[tuple[tuple[str, ...], tuple[int, ...]]] = Counter()
        self._lock = threading.Lock()

    def get(self, names: tuple[str, ...], shape: tuple[int, ...]) -> Any:
        """Return the graph for an image of a shape."""
        key = names, shape
        with self._lock:
            if key in self._of_one_shape:
                self._of_one_shape.move_to_end(key)
                return self._of_one_shape[key]
            self._uses[key] += 1
            others = sum(kept == names for kept, _ in self._of_one_shape)
            is_general = names in self._of_any_shape
            if (is_general or others >= _SHAPES_AT_ONCE) and self._uses[key] <= _WORTH_COMPILING:
                if not is_general:
                    self._of_any_shape[names] = self._compile(names, None)
                return self._of_any_shape[names]
            del self._uses[key]
            self._of_one_shape[key] = self._compile(names, shape)
            if len(self._of_one_shape) > _SHAPES_KEPT:
                self._of_one_shape.popitem(last=False)
            return self._of_one_shape[key]


def _model(
    network: XFeatNetwork,
    of_blocks: list[nn.Module],
    names: tuple[str, ...],
    shape: tuple[int, ...] | None,
    with_ends: bool,
) -> Any:
    """Build, for images of one shape or any, the named heads, channels last. Without `ends`, what goes into
    them instead.
    """
    openvino = library()
    ops = openvino.opset13
    image = ops.parameter(list(shape or (-1, 1, -1, -1)), np.float32)

    (describe, at), (locate, at_logits), (rate, at_rating) = ends(network)
    outputs = {}
    if _KEYPOINTS in names:
        cells = ops.space_to_depth(image, "depth_first", CELL)
        outputs[_KEYPOINTS] = _layers(cells, list(locate)[: None if with_ends else at_logits])
    if _BLOCKS in names:
        outputs[_BLOCKS] = _layers(ops.space_to_depth(image, "depth_first", heatmap.BLOCK), of_blocks)
    if _FEATURES in names:
        before = _layers(_fused(image, network), list(describe)[:at])
        features = _layers(before, list(describe)[at:])
        outputs[_FEATURES] = features if with_ends else before
        outputs[_RELIABILITY] = _layers(features, list(rate)[: None if with_ends else at_rating])
    results = [ops.result(ops.transpose(outputs[name], np.array(_CHANNELS_LAST))) for name in names]
    return openvino.Model(results, [image])


def _fused(image: Any, network: XFeatNetwork) -> Any:
    """Return what goes into the network's fusion block: all scales, added."""
    ops = library().opset13
    skip = ops.avg_pool(image, [_SKIP] * 2, [0, 0], [0, 0], [_SKIP] * 2, True)
    half = _layers(ops.add(_layers(image, network.block1), _layers(skip, [network.skip1[1]])), network.block2)
    eighth = _layers(half, network.block3)
    sixteenth = _layers(eighth, network.block4)
    thirtysecond = _layers(sixteenth, network.block5)
    return ops.add(ops.add(eighth, _enlarged(sixteenth, 2)), _enlarged(thirtysecond, 4))


def _layers(x: Any, layers: Iterable[nn.Module]) -> Any:
    ops = library().opset13
    for layer in layers:
        if isinstance(layer, BasicLayer):
            x = ops.relu(_convolution(x, layer.layer[0]))
        elif isinstance(layer, nn.Sigmoid):
            x = ops.sigmoid(x)
        else:
            x = _convolution(x, layer)
    return x


def _convolution(x: Any, layer: nn.Module) -> Any:
    ops = library().opset13
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    weight, bias = layer.weight.numpy(), layer.bias.numpy()[:, None, None]
    padding = list(layer.padding)
    return ops.add(ops.convolution(x, weight, list(layer.stride), padding, padding, [1, 1]), bias)


def _enlarged(x: Any, factor: int) -> Any:
    return library().opset13.interpolate(
        x,
        np.array([factor, factor], np.float32),
        "linear_onnx",
        "scales",
        coordinate_transformation_mode="half_pixel",
        axes=np.array([2, 3]),
    )
