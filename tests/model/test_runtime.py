from __future__ import annotations

from pathlib import Path

import pytest
import torch

from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError, WeightsError
from xfeat_cli.machine.devices import resolve_device, resolve_precision
from xfeat_cli.model import openvino_network
from xfeat_cli.model.backends import resolve_backend
from xfeat_cli.model.network import Refiner, XFeatNetwork
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.torch_network import folded_network
from xfeat_cli.model.weights import Weights, WeightsInfo

CPU = torch.device("cpu")
BACKENDS = [Backend.TORCH, *([Backend.OPENVINO] if openvino_network.is_installed() else [])]


def _weights(*modules: torch.nn.Module) -> Weights:
    state: dict[str, torch.Tensor] = {}
    for module in modules:
        state |= module.state_dict()
    info = WeightsInfo("mine", Path("mine.safetensors"), "0" * 64, {}, len(modules) > 1, 0.8, "corner", 0)
    return Weights(info, state)


def _with_random_statistics(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    random = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=random) / 4)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=random) * 2 + 0.1)
    return module.eval()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_folding_batch_norm_leaves_the_outputs(seed: int, backend: Backend) -> None:
    torch.manual_seed(seed)
    network = _with_random_statistics(XFeatNetwork(), seed)
    runtime = Runtime(_weights(network), "cpu", Precision.FP32, backend)
    folded = folded_network(_weights(network))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    image = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        expected = network(image)
    for result, truth in zip(runtime.heads(image), expected, strict=True):
        assert (result - truth).abs().max() <= 1e-4 * (truth.max() - truth.min())


def test_the_refiner_runs_in_fp32_whatever_the_precision() -> None:
    refiner = _with_random_statistics(Refiner(), 0)
    runtime = Runtime(_weights(XFeatNetwork(), refiner), "cpu", Precision.BF16, Backend.TORCH)
    d0, d1 = torch.randn(2, 7, 64)
    with torch.inference_mode():
        expected = refiner(d0, d1)
    torch.testing.assert_close(runtime.refine(d0, d1), expected)


def test_without_a_refiner_there_is_one_clear_error() -> None:
    runtime = Runtime(_weights(XFeatNetwork()), "cpu")
    for attempt in (runtime.require_refiner, lambda: runtime.refine(torch.zeros(1, 64), torch.zeros(1, 64))):
        with pytest.raises(WeightsError, match=r"mine\.safetensors.*refiner.*mode=sparse"):
            attempt()


def test_auto_is_a_device_that_is_there() -> None:
    device = resolve_device("auto")
    assert torch.zeros(1, device=device).device.type == device.type
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("name", ["nonsense", "", "cpu:x", "meta", "xpu", "cuda:-1"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="write auto, cpu, cuda, cuda:N or mps"):
        resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"device={name}: this torch sees no CUDA device"):
        resolve_device(name)


def test_a_cuda_device_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="only 2 CUDA devices"):
        resolve_device("cuda:2")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an Apple GPU")
def test_mps_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no Apple GPU"):
        resolve_device("mps")


def test_precision() -> None:
    assert resolve_precision(Precision.AUTO, CPU) is Precision.FP32
    assert resolve_precision(Precision.AUTO, torch.device("mps")) is Precision.FP32
    assert resolve_precision(Precision.AUTO, torch.device("cuda:1")) is Precision.FP16
    assert resolve_precision(Precision.BF16, CPU) is Precision.BF16
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        resolve_precision(Precision.FP16, CPU)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
def test_openvino_is_used_where_it_can_compute_what_is_asked_for(
    installed: bool, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_network, "is_installed", lambda: installed)
    monkeypatch.setattr(openvino_network, "runs_bf16", lambda: bf16)
    for precision, able in ((Precision.FP32, installed), (Precision.BF16, installed and bf16)):
        best = Backend.OPENVINO if able else Backend.TORCH
        assert resolve_backend(Backend.AUTO, CPU, precision) is best
        assert resolve_backend(Backend.TORCH, CPU, precision) is Backend.TORCH
        if able:
            assert resolve_backend(Backend.OPENVINO, CPU, precision) is Backend.OPENVINO
        else:
            with pytest.raises(UsageError, match=r"backend=openvino: .*(pip install|precision=fp32)"):
                resolve_backend(Backend.OPENVINO, CPU, precision)
    cuda = torch.device("cuda")
    assert resolve_backend(Backend.AUTO, cuda, Precision.FP16) is Backend.TORCH
    with pytest.raises(UsageError, match="device=cpu"):
        resolve_backend(Backend.OPENVINO, cuda, Precision.FP16)


def test_the_same_network_is_made_once_and_another_anew() -> None:
    torch.manual_seed(3)
    one, other = _weights(XFeatNetwork()), _weights(XFeatNetwork())
    first, again = (Runtime(one, "cpu", Precision.FP32, Backend.TORCH) for _ in range(2))
    assert first._network is again._network
    assert Runtime(other, "cpu", Precision.FP32, Backend.TORCH)._network is not first._network
    assert Runtime(one, "cpu", Precision.BF16, Backend.TORCH)._network is not first._network
