"""The devices of a job: one, or several of a kind in one process, with a worker for each."""

from __future__ import annotations

import torch

from xfeat_cli.errors import UsageError
from xfeat_cli.model.runtime import resolve_device


def resolve_devices(names: str) -> tuple[torch.device, ...]:
    """`auto`, or one name or several with commas between (`cuda:0,cuda:1`) → devices that are there.

    Several must be of one kind, so that a job has one precision, and `cpu` may be repeated. Raises UsageError.
    """
    devices = tuple(_numbered(resolve_device(name.strip())) for name in names.split(","))
    if len({device.type for device in devices}) > 1:
        raise UsageError(f"--device {names}: several devices must be of one kind, as in cuda:0,cuda:1")
    if devices[0].type != "cpu" and len(set(devices)) < len(devices):
        raise UsageError(f"--device {names}: a device is named twice")
    return devices


def workers(devices: tuple[torch.device, ...]) -> tuple[torch.device, ...]:
    """The device of each of a job's workers: one for each GPU; on a CPU one for each thread that torch would use."""
    if devices[0].type != "cpu":
        return devices
    return (devices[0],) * max(len(devices), torch.get_num_threads())


def _numbered(device: torch.device) -> torch.device:
    """`cuda` alone means the first of several."""
    return torch.device("cuda", 0) if device == torch.device("cuda") else device
