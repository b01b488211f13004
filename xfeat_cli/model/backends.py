"""The libraries that can compute the network. A new one is a file with its runner and a row in `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.model import onnx_network, openvino_network
from xfeat_cli.model.network import XFeatNetwork
from xfeat_cli.model.onnx_network import OnnxNetwork
from xfeat_cli.model.openvino_network import OpenVinoNetwork
from xfeat_cli.model.torch_network import TorchNetwork

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


class NetworkRunner(Protocol):
    """A network ready to run; threads may share it. Images are prepared ones, (B, 1, H, W)."""

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.heads`."""

    def sparse_heads(self, image: Tensor, grids: int) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.sparse_heads`."""

    def cells(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Behave as `Runtime.cells`."""


@dataclass(frozen=True)
class BackendRow:
    """refusal: why the library cannot run on a device in a precision, or "". make: the runner of a folded network.

    by_itself: whether `auto` may take it.
    """

    refusal: Callable[[torch.device, Precision], str]
    make: Callable[[XFeatNetwork, torch.device, Precision], NetworkRunner]
    by_itself: bool = True


def _not_with_openvino(device: torch.device, precision: Precision) -> str:
    if device.type != "cpu":
        return "it runs on the CPU here; add device=cpu"
    if not openvino_network.is_installed():
        return "not installed; pip install 'xfeat-cli[openvino]'"
    if precision is Precision.BF16 and not openvino_network.runs_bf16():
        return "this processor does not multiply bf16; use precision=fp32"
    return ""


def _openvino(network: XFeatNetwork, device: torch.device, precision: Precision) -> NetworkRunner:
    return OpenVinoNetwork(network, usable_cores(), precision is Precision.BF16)


def _not_with_onnxruntime(device: torch.device, precision: Precision) -> str:
    if not onnx_network.is_installed():
        return "not installed; pip install 'xfeat-cli[onnxruntime]'"
    if precision is not Precision.FP32:
        return "it computes in fp32 here; use precision=fp32"
    if not onnx_network.providers(device):
        return (
            f"this onnxruntime has no provider for {device.type}; use device=cpu, or install its build for the device"
        )
    return ""


def _onnxruntime(network: XFeatNetwork, device: torch.device, precision: Precision) -> NetworkRunner:
    return OnnxNetwork(network, device)


def _torch(network: XFeatNetwork, device: torch.device, precision: Precision) -> NetworkRunner:
    return TorchNetwork(network, device, DTYPES[precision])


BACKENDS: Mapping[Backend, BackendRow] = {
    Backend.OPENVINO: BackendRow(_not_with_openvino, _openvino),
    Backend.TORCH: BackendRow(lambda device, precision: "", _torch),
    Backend.ONNXRUNTIME: BackendRow(_not_with_onnxruntime, _onnxruntime, by_itself=False),
}
"""In the order in which `auto` tries them; torch runs everywhere."""

AUTOMATIC = tuple(name for name, row in BACKENDS.items() if row.by_itself)
"""Those that `auto` may take. onnxruntime's graphs are made anew at every start, which takes a second."""


def resolve_backend(backend: Backend, device: torch.device, precision: Precision) -> Backend:
    """Map auto → the first that runs on the device in the precision. Raises UsageError for a named one that
    does not.
    """
    if backend is Backend.AUTO:
        return next(name for name in AUTOMATIC if not BACKENDS[name].refusal(device, precision))
    reason = BACKENDS[backend].refusal(device, precision)
    if reason:
        raise UsageError(f"backend={backend.value}: {reason}")
    return backend
