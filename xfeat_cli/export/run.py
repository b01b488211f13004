"""Write the network's graphs into a folder, each checked against the Python path before it is there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.export.check import SIZES, Agreement, agreement, least_cosine, tolerance
from xfeat_cli.export.config import ExportConfig, Format, Part
from xfeat_cli.export.formats import SUFFIXES, require_installed, runners, save
from xfeat_cli.export.graphs import DenseGraph, MatcherGraph, RefinerGraph, SparseGraph
from xfeat_cli.files import write_text
from xfeat_cli.model import weights
from xfeat_cli.model.network import DESCRIPTOR_DIM
from xfeat_cli.model.onnx_file import OPSET
from xfeat_cli.model.refiner import folded_layers
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.torch_network import folded_network
from xfeat_cli.model.weights import Weights

CARD = "model.json"

Axes = Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Exported:
    """One graph. file: name of the one to open. agreements: with the Python path, in each runtime that is installed."""

    part: Part
    file: str
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True)
class _Plan:
    graph: nn.Module
    examples: dict[str, Tensor]
    outputs: tuple[str, ...]
    axes: Axes
    says: str


def export_model(
    folder: Path,
    config: ExportConfig,
    *,
    overwrite: bool = False,
    started: Callable[[Part], object] | None = None,
) -> list[Exported]:
    """Write `xfeat-<part>` files of a format, and model.json that says what goes in and comes out.

    started: told of each part before it is made. Raises UsageError, WeightsError, and ExportError for a file that does
    not agree with the Python path; such a file is not left.
    """
    require_installed(config.format)
    loaded = weights.load(config.weights)
    runtime = Runtime(loaded, "cpu", Precision.FP32, Backend.TORCH)
    parts = config.parts or tuple(
        part for part in Part if runtime.info.has_refiner or part not in (Part.DENSE, Part.REFINER)
    )
    if Part.DENSE in parts or Part.REFINER in parts:
        runtime.require_refiner()
    names = [f"xfeat-{part.value}{suffix}" for part in parts for suffix in SUFFIXES[config.format]]
    there = [name for name in [*names, CARD] if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError(f"{folder / there[0]} exists; use overwrite=True to replace it, or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".xfeat-") as unfinished:
            plans = {part: _plan(part, loaded, runtime, config) for part in parts}
            exported = []
            for part, plan in plans.items():
                if started is not None:
                    started(part)
                exported.append(_made(part, plan, Path(unfinished), runtime, config))
            for name in names:
                os.replace(Path(unfinished, name), folder / name)
        write_text(folder / CARD, json.dumps(_card(exported, plans, runtime, config), indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror or error})") from None
    return exported


def _made(part: Part, plan: _Plan, folder: Path, runtime: Runtime, config: ExportConfig) -> Exported:
    name = f"xfeat-{part.value}{SUFFIXES[config.format][0]}"
    path = folder / name
    save(config.format, plan.graph, plan.examples, plan.outputs, plan.axes, path, config.half)
    found = [agreement(part, library, run, runtime, config) for library, run in runners(config.format, path).items()]
    for one in found:
        one.require(tolerance(config), name)
    return Exported(part, name, tuple(found))


def _plan(part: Part, loaded: Weights, runtime: Runtime, config: ExportConfig) -> _Plan:
    # OpenVINO stores a float32 graph's weights in half, and decides itself what it computes in.
    dtype = torch.float16 if config.half and config.format is not Format.OPENVINO else torch.float32
    if part in (Part.SPARSE, Part.DENSE):
        network = folded_network(loaded)
        graph: SparseGraph | DenseGraph
        if part is Part.SPARSE:
            graph = SparseGraph(network, dtype, config.top_k, config.detection_threshold, config.grids)
        else:
            graph = DenseGraph(network, dtype, config.dense_top_k, runtime.labels.reference)
        free = {"image": {0: "batch", 1: "channels", 2: "height", 3: "width"}}
        axes: Axes = {**free, **{name: {0: "batch"} for name in graph.outputs}}
        return _Plan(graph, {"image": torch.zeros(2, 1, 200, 300)}, graph.outputs, axes, graph.__doc__ or "")
    examples = {f"descriptors{i}": torch.ones(count, DESCRIPTOR_DIM) for i, count in enumerate((5, 5))}
    if part is Part.MATCHER:
        matcher = MatcherGraph(least_cosine(config, runtime))
        axes = {"descriptors0": {0: "n"}, "descriptors1": {0: "m"}, **{name: {0: "n"} for name in matcher.outputs}}
        return _Plan(matcher, examples, matcher.outputs, axes, matcher.__doc__ or "")
    refiner = RefinerGraph(folded_layers(loaded), runtime.labels, dtype)
    axes = {name: {0: "n"} for name in (*examples, *refiner.outputs)}
    return _Plan(refiner, examples, refiner.outputs, axes, refiner.__doc__ or "")


def _card(
    exported: list[Exported], plans: Mapping[Part, _Plan], runtime: Runtime, config: ExportConfig
) -> dict[str, Any]:
    """Return what a reader of the files needs to know."""
    settings = {key: value for key, value in asdict(config).items() if key not in ("parts", "weights", "format")}
    return {
        "weights": runtime.info.name,
        "weights_sha256": runtime.info.sha256,
        "format": config.format.value,
        "opset": OPSET if config.format is not Format.TORCHSCRIPT else None,
        **settings,
        "min_cossim": least_cosine(config, runtime),
        "min_confidence": runtime.labels.min_confidence,
        "checked_on_pictures": [list(size) for size in SIZES],
        "graphs": {
            one.part.value: {
                "file": one.file,
                "inputs": list(plans[one.part].examples),
                "outputs": list(plans[one.part].outputs),
                "meaning": " ".join(plans[one.part].says.split()),
                "checked": [asdict(found) for found in one.agreements],
            }
            for one in exported
        },
    }
