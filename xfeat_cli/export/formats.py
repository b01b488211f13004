"""Graphs → files of a format, and what can run a file again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xfeat_cli.errors import UsageError
from xfeat_cli.export.config import Format
from xfeat_cli.model import onnx_file, openvino_network

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Inputs in their order → outputs in theirs, float32."""

SUFFIXES = {Format.ONNX: (".onnx",), Format.OPENVINO: (".xml", ".bin"), Format.TORCHSCRIPT: (".pt",)}
"""Of a graph's files; the first is the one that is opened."""


def require_installed(format: Format) -> None:
    """Raise UsageError if a library that writes the format is missing."""
    if format is Format.TORCHSCRIPT:
        return
    if not onnx_file.is_installed():
        raise UsageError(f"format={format.value} needs onnx: pip install 'xfeat-cli[onnxruntime]'")
    if format is Format.OPENVINO and not openvino_network.is_installed():
        raise UsageError("format=openvino needs OpenVINO: pip install 'xfeat-cli[openvino]'")


def save(
    format: Format,
    graph: nn.Module,
    examples: Mapping[str, Tensor],
    outputs: tuple[str, ...],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
    half: bool,
) -> None:
    """Write a graph's files; `path` ends in the first of its format's SUFFIXES. As `onnx_file.as_onnx`."""
    if format is Format.TORCHSCRIPT:
        _save_torchscript(graph, examples, path)
        return
    content = onnx_file.as_onnx(graph, examples, outputs, axes)
    if format is Format.ONNX:
        path.write_bytes(content)
        return
    openvino = openvino_network.library()
    model = openvino.Core().read_model(content, b"")
    openvino.save_model(model, str(path), compress_to_fp16=half)


def _save_torchscript(graph: nn.Module, examples: Mapping[str, Tensor], path: Path) -> None:
    with _without_warnings(), torch.inference_mode():
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            graph.eval(), tuple(examples.values()), check_trace=False
        )
        torch.jit.save(traced, str(path))  # type: ignore[no-untyped-call]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence TorchScript's warnings: those of the tracer, about sizes that it follows all the same, and that
    new programs use another way.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def runners(format: Format, path: Path) -> dict[str, Run]:
    """Return what is installed here that runs a file, by name."""
    if format is Format.TORCHSCRIPT:
        return {"torch": _by_torch(path)}
    found: dict[str, Run] = {}
    if format is Format.ONNX and find_spec("onnxruntime") is not None:
        found["onnxruntime"] = _by_onnxruntime(path)
    if openvino_network.is_installed():
        found["openvino"] = _by_openvino(path)
    return found


def _by_torch(path: Path) -> Run:
    with _without_warnings():
        module: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            return [output.numpy() for output in module(*map(torch.from_numpy, inputs))]

    return run


def _by_onnxruntime(path: Path) -> Run:
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def _by_openvino(path: Path) -> Run:
    core = openvino_network.library().Core()
    compiled = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: [np.array(output) for output in compiled(list(inputs)).values()]
