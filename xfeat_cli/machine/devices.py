"""The devices of a job and the precision they compute in: one device, or several of a kind with a worker for each."""

from __future__ import annotations

import torch

from xfeat_cli.config import Precision
from xfeat_cli.errors import UsageError

_KINDS = ("cpu", "cuda", "mps")


def resolve_device(name: str) -> torch.device:
    """Map auto, cpu, cuda, cuda:N or mps → a device that is there. Raises UsageError."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device={name}: write auto, cpu, cuda, cuda:N or mps") from None
    if device.type not in _KINDS:
        raise UsageError(f"device={name}: write auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device={name}: this torch sees no CUDA device; use cpu, or install torch for CUDA")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device={name}: there are only {torch.cuda.device_count()} CUDA devices, from cuda:0")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"device={name}: this torch sees no Apple GPU; use device=cpu")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Map auto → fp16 on CUDA, fp32 elsewhere. Raises UsageError for a precision the device does not run."""
    if precision is Precision.AUTO:
        return Precision.FP16 if device.type == "cuda" else Precision.FP32
    if precision is Precision.FP16 and device.type == "cpu":
        raise UsageError("precision=fp16 needs a GPU; on a CPU use bf16 or fp32")
    return precision


def resolve_devices(names: str) -> tuple[torch.device, ...]:
    """Map `auto`, or one name or several with commas between (`cuda:0,cuda:1`) → devices that are there.

    Several must be of one kind, so that a job has one precision, and `cpu` may be repeated. Raises UsageError.
    """
    devices = tuple(_numbered(resolve_device(name.strip())) for name in names.split(","))
    if len({device.type for device in devices}) > 1:
        raise UsageError(f"device={names}: several devices must be of one kind, as in cuda:0,cuda:1")
    if devices[0].type != "cpu" and len(set(devices)) < len(devices):
        raise UsageError(f"device={names}: a device is named twice")
    return devices


def workers(devices: tuple[torch.device, ...]) -> tuple[torch.device, ...]:
    """Return the device of each of a job's workers: one for each GPU; on a CPU one for each thread that torch would
    use.
    """
    if devices[0].type != "cpu":
        return devices
    return (devices[0],) * max(len(devices), torch.get_num_threads())


def _numbered(device: torch.device) -> torch.device:
    """Return `cuda` alone means the first of several."""
    return torch.device("cuda", 0) if device == torch.device("cuda") else device
