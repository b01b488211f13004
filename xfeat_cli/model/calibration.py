"""Which precision and library compute the network fastest on this CPU: measured once, kept in the cache folder.

A processor's flags do not tell: some multiply bfloat16 more slowly than float32. What was measured holds for one
processor and one version of everything that computes; with another, it is measured again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import torch

from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.files import whole_file
from xfeat_cli.machine.devices import resolve_precision
from xfeat_cli.machine.processor import has_bf16_tiles, multiplies_bf16, processor_name
from xfeat_cli.machine.threads import single_threaded
from xfeat_cli.model.backends import AUTOMATIC, BACKENDS, resolve_backend
from xfeat_cli.model.download import cache_folder
from xfeat_cli.model.torch_network import folded_network
from xfeat_cli.model.weights import Weights
from xfeat_cli.native.library import level
from xfeat_cli.version import __version__

_SIZE = (480, 640)
_UNCOUNTED_RUNS, _RUNS = 10, 5
"""The first ones of a size are slower: graphs are compiled for sizes that come often."""

_WORTH_ROUNDING = 1.2
"""bfloat16 rounds, so it is taken only where it is so many times faster than the fastest in float32."""

_FORMAT = 1
_RECORDS_KEPT = 16


@dataclass(frozen=True)
class Way:
    """A way to compute the network."""

    precision: Precision
    backend: Backend

    def __str__(self) -> str:
        return f"{self.precision.value} {self.backend.value}"


Milliseconds = dict[str, float]
"""CPU time of one image of 640×480 by `str(Way)`."""


def choose(weights: Weights, device: torch.device, precision: Precision, backend: Backend) -> Way:
    """Map `auto` → what is fastest on a CPU, fp16 in torch on CUDA. Raises UsageError for what the device does not run.

    Where several ways are open and nothing is known of this machine, they are measured, in a few seconds, with the
    weights at hand. Where the cache folder cannot be written, so that the next run would measure anew and perhaps
    choose otherwise, it is bfloat16 with AMX, else float32.
    """
    ways = _open_ways(device, precision, backend)
    if len(ways) < 2:
        precision = resolve_precision(precision, device)
        return Way(precision, resolve_backend(backend, device, precision))
    timings = stored()
    if timings is None or not any(str(way) in timings for way in ways):
        timings = _measured_once(weights)
    return fastest(ways, timings)


def fastest(ways: list[Way], timings: Milliseconds) -> Way:
    """Return the fastest of some ways, float32 unless another precision gains much. Those not measured come last, in
    order.
    """

    def cost(way: Way) -> float:
        slower = 1.0 if way.precision is Precision.FP32 else _WORTH_ROUNDING
        return timings.get(str(way), float("inf")) * slower

    return min(ways, key=cost)


def fastest_of_all(timings: Milliseconds) -> Way:
    """Return what `auto` means on this CPU by these timings."""
    return fastest(_open_ways(torch.device("cpu"), Precision.AUTO, Backend.AUTO), timings)


def calibrate(weights: Weights) -> Milliseconds:
    """Measure every way that this CPU has, and keep the result for later runs. Raises UsageError if that fails."""
    timings = measure(weights)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with whole_file(_path(), None) as file:
            file.write(json.dumps([*_others(), {"machine": _machine(), "milliseconds": timings}], indent=1).encode())
    except OSError as error:
        raise UsageError(
            f"{_path()}: cannot be written: {error.strerror or error}; set XFEAT_HOME to a folder that can be written"
        ) from error
    return timings


def measure(weights: Weights) -> Milliseconds:
    """Return the least CPU time of a few images for every way that this CPU has, one thread, in turns."""
    cpu = torch.device("cpu")
    ways = _open_ways(cpu, Precision.AUTO, Backend.AUTO)
    runners = {way: BACKENDS[way.backend].make(folded_network(weights), cpu, way.precision) for way in ways}
    image = torch.randn(1, 1, *_SIZE, generator=torch.Generator().manual_seed(0))
    timings = dict.fromkeys(map(str, ways), float("inf"))
    with single_threaded(), torch.inference_mode():
        for run in range(_UNCOUNTED_RUNS + _RUNS):
            for way, runner in runners.items():
                started = time.process_time()
                runner.sparse_heads(image, 4)
                taken = (time.process_time() - started) * 1e3
                if run >= _UNCOUNTED_RUNS:
                    timings[str(way)] = min(timings[str(way)], taken)
    return {way: round(taken, 2) for way, taken in timings.items()}


def stored() -> Milliseconds | None:
    """Return what was measured on this machine with what is installed; None if nothing was, or what is kept is
    damaged.
    """
    try:
        (record,) = (record for record in _records() if record["machine"] == _machine())
        timings = {str(way): float(taken) for way, taken in record["milliseconds"].items()}
        return timings if all(taken > 0 for taken in timings.values()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _records() -> list[dict[str, Any]]:
    """Return what is kept, the newest last, as far as it is well formed."""
    try:
        content = json.loads(_path().read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    records = content if isinstance(content, list) else []
    return [record for record in records if isinstance(record, dict) and "machine" in record]


def _others() -> list[dict[str, Any]]:
    """Return the newest records of other machines that share the folder, and of other versions in use beside
    this one.
    """
    machine = _machine()
    return [record for record in _records() if record["machine"] != machine][-_RECORDS_KEPT + 1 :]


def _measured_once(weights: Weights) -> Milliseconds:
    try:
        return calibrate(weights)
    except UsageError:
        first, second = (Precision.BF16, Precision.FP32) if has_bf16_tiles() else (Precision.FP32, Precision.BF16)
        order = [Way(precision, backend) for precision in (first, second) for backend in AUTOMATIC]
        return {str(way): 10.0**place for place, way in enumerate(order)}


def _open_ways(device: torch.device, precision: Precision, backend: Backend) -> list[Way]:
    """Return the ways that `auto` leaves open on a CPU; none on another device."""
    if device.type != "cpu":
        return []
    native = [Precision.FP32, *([Precision.BF16] if multiplies_bf16() else [])]
    precisions = native if precision is Precision.AUTO else [precision]
    backends = list(AUTOMATIC) if backend is Backend.AUTO else [backend]
    ways = [Way(p, b) for p in precisions for b in backends if p is not Precision.FP16]
    return [way for way in ways if not BACKENDS[way.backend].refusal(device, way.precision)]


def _machine() -> dict[str, str | int]:
    """Return what decides how fast each way is."""
    return {
        "format": _FORMAT,
        "processor": processor_name(),
        "bf16": ("tiles" if has_bf16_tiles() else "yes") if multiplies_bf16() else "no",
        "xfeat": __version__,
        "native": level(),
        "torch": torch.__version__,
        "openvino": _version("openvino"),
    }


def _version(package: str) -> str:
    try:
        return package_version(package)
    except PackageNotFoundError:
        return "none"


def _path() -> Path:
    return cache_folder() / "calibration.json"
