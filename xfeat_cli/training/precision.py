"""Which number format a run computes in."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from xfeat_cli.config import Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.machine.processor import multiplies_bf16
from xfeat_cli.model.network import XFeatNetwork

_WORTHWHILE = 0.9
"""bf16 is taken where a step takes less than this share of its time in fp32: it rounds, so it must earn that."""

_ROUNDS = 3


def training_precision(
    precision: Precision, device: torch.device, size: tuple[int, int], before: str | None
) -> Precision:
    """Map auto → bf16 on a GPU that has it, and on a CPU where a step in it is faster than in fp32, which is measured.

    size: (width, height) px of the training images. before: that of the run which goes on, whose choice stays.
    Raises UsageError for fp16.
    """
    if precision is Precision.FP16:
        raise UsageError("precision fp16: train in bf16 or fp32; gradients underflow in fp16")
    if precision is not Precision.AUTO:
        return precision
    if before is not None:
        return Precision(before)
    if device.type == "cuda":
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP32
    if device.type == "cpu" and multiplies_bf16():
        return faster(step_seconds(size))
    return Precision.FP32


def faster(seconds: Callable[[Precision], float]) -> Precision:
    """Return bf16 if a step takes clearly less time in it, else fp32."""
    return Precision.BF16 if seconds(Precision.BF16) < _WORTHWHILE * seconds(Precision.FP32) else Precision.FP32


def step_seconds(size: tuple[int, int]) -> Callable[[Precision], float]:
    """Map precision → the least time of a few passes forward and back through the network, with an image of (width,
    height), on one thread of the CPU as training runs.
    """
    network, image = XFeatNetwork(), torch.randn(2, 1, size[1], size[0])

    def seconds(precision: Precision) -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        times = []
        try:
            for _ in range(_ROUNDS):
                started = time.perf_counter()
                bf16 = precision is Precision.BF16
                with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
                    loss = network.describe(image).float().square().mean()
                loss.backward()  # type: ignore[no-untyped-call]
                times.append(time.perf_counter() - started)
        finally:
            torch.set_num_threads(threads)
        return min(times)

    return seconds
