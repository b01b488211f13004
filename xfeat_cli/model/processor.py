"""What the processor can do: its arithmetic, and the cores that this process may use."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import torch

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""As Linux names them in /proc/cpuinfo."""


@cache
def multiplies_bf16() -> bool:
    """Whether it multiplies bfloat16 natively (AVX512-bf16 or AMX), so that it beats float32."""
    asked = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    if any(supported is not None and supported() for supported in asked):
        return True
    return None in asked and bool(_BF16_FLAGS & _flags())


def _flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def usable_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
