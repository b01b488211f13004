"""Modules → ONNX, in memory. Every size and batch is allowed that the module itself allows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from importlib.util import find_spec

import torch
from torch import Tensor, nn

OPSET = 18
"""Of the operators: the version that most runtimes of the last years read."""


def is_installed() -> bool:
    """Return whether the library that writes ONNX is there; it is not imported."""
    return find_spec("onnx") is not None


def as_onnx(
    module: nn.Module, examples: Mapping[str, Tensor], outputs: tuple[str, ...], axes: Mapping[str, Mapping[int, str]]
) -> bytes:
    """Return a module as an ONNX file's content.

    examples: inputs by name, which the module is traced with. axes: of inputs and outputs, the axes whose length is
    free, with a name for each.
    """
    content = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # The tracing exporter is called old, but the new one fails on sizes that are padded to a multiple.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(examples.values()),
            content,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_axes={name: dict(free) for name, free in axes.items()},
        )
    return content.getvalue()
