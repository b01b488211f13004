"""What the processor can do: its arithmetic, and the cores that this process may use."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

import torch


@cache
def multiplies_bf16() -> bool:
    """Return whether it multiplies bfloat16 natively (AVX512-bf16 or AMX), so that a network runs faster in it."""
    return has_bf16_tiles() or _has("_is_avx512_bf16_supported", "avx512_bf16")


@cache
def has_bf16_tiles() -> bool:
    """Return whether it multiplies whole tiles of bfloat16 (AMX), which gains the most; training asks for that."""
    return _has("_is_amx_tile_supported", "amx_bf16")


def _has(asks_torch: str, flag: str) -> bool:
    """Return what torch says of the processor, or, if it is too old to say, Linux. flag: as in /proc/cpuinfo."""
    supported = getattr(torch.cpu, asks_torch, None)
    return flag in _flags() if supported is None else bool(supported())


def _flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def processor_name() -> str:
    """As its maker calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
