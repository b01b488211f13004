"""What the machine is, what it can do at best, and how much work a measurement asks of it."""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from xfeat_cli.config import Precision
from xfeat_cli.machine.processor import processor_name
from xfeat_cli.model.backends import DTYPES
from xfeat_cli.model.decode import semi_dense_sizes
from xfeat_cli.model.network import DESCRIPTOR_DIM, STRIDE, Refiner, XFeatNetwork
from xfeat_cli.version import __version__

_PRODUCT_SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}
_PRODUCT_SECONDS = 0.7


def synchronise(device: torch.device) -> None:
    """Return when the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@cache
def ceiling_gflops(device: torch.device, precision: Precision) -> float:
    """Return GFLOP/s of a large square matrix product, the best of several."""
    side = _PRODUCT_SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in range(2))
    best = 0.0
    end = time.perf_counter() + _PRODUCT_SECONDS
    while time.perf_counter() < end or best == 0:
        started = time.perf_counter()
        a @ b
        synchronise(device)
        best = max(best, 2e-9 * side**3 / (time.perf_counter() - started))
    return best


def peak_memory_mb() -> float:
    """Return most memory that this process has held, in MB of 2^20 bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        # Elsewhere than on Linux, where this would be no less than the peak of the process that started this one.
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def describe(device: torch.device, precision: Precision) -> dict[str, str | int | float]:
    """Return the `machine` of the report."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "type": device.type,
        "threads": torch.get_num_threads(),
        "precision": precision.value,
        "ceiling_gflops": round(ceiling_gflops(device, precision), 1),
        "xfeat": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
    }


@cache
def network_gflop(height: int, width: int) -> float:
    """Return multiplications and additions, in billions, of the network on one image, padded to multiples of the
    stride.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        XFeatNetwork()(torch.empty(1, 1, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE))
    return counter.get_total_flops() / 1e9


def semi_dense_gflop(height: int, width: int) -> float:
    """Behave as `network_gflop`, for the two scaled images of a semi-dense pass."""
    return sum(network_gflop(*size) for size in semi_dense_sizes((height, width)))


def match_gflop(count0: int, count1: int) -> float:
    """Return the work of one product of all descriptors."""
    return 2e-9 * count0 * count1 * DESCRIPTOR_DIM


def refine_gflop(matches: int) -> float:
    """Return the work of refining that many matches at one end."""
    return 2e-9 * matches * sum(p.numel() for p in Refiner().parameters() if p.ndim == 2)
