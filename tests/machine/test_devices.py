from __future__ import annotations

import pytest
import torch

from xfeat_cli.errors import UsageError
from xfeat_cli.machine import devices
from xfeat_cli.machine.devices import resolve_devices, workers

CPU = torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "resolve_device", lambda name: torch.device("cuda" if name == "auto" else name))


def test_one_name_is_one_device() -> None:
    assert resolve_devices("cpu") == (CPU,)
    assert len(resolve_devices("auto")) == 1


def test_several_names_with_or_without_spaces() -> None:
    assert resolve_devices("cpu,cpu") == resolve_devices("cpu, cpu") == (CPU, CPU)


def test_what_is_not_there_is_a_usage_error() -> None:
    for names in ("cpu,", "cpu,nonsense", ""):
        with pytest.raises(UsageError, match="device="):
            resolve_devices(names)


def test_several_gpus(two_gpus: None) -> None:
    assert resolve_devices("cuda:0,cuda:1") == (torch.device("cuda:0"), torch.device("cuda:1"))
    assert resolve_devices("auto") == resolve_devices("cuda") == (torch.device("cuda:0"),)
    with pytest.raises(UsageError, match="twice"):
        resolve_devices("cuda,cuda:0")
    with pytest.raises(UsageError, match="one kind"):
        resolve_devices("cpu,cuda:0")


def test_a_worker_for_each_gpu_and_for_each_thread_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = (torch.device("cuda:0"), torch.device("cuda:1"))
    assert workers(gpus) == gpus
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert workers((CPU,)) == workers((CPU, CPU)) == (CPU, CPU, CPU)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert workers((CPU, CPU)) == (CPU, CPU)
