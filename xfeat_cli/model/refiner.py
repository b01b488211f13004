"""How the match refiner is run: batch norm folded, in blocks that stay in a CPU's cache."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xfeat_cli.config import Precision
from xfeat_cli.errors import WeightsError
from xfeat_cli.machine.memory import keep_freed_memory
from xfeat_cli.model.network import Refiner
from xfeat_cli.model.weights import Weights, WeightsInfo
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import Library, library

_BLOCK_ROWS = {"cpu": 1024, "cuda": 1 << 16, "mps": 1 << 14}
"""Matches that pass through all layers before the next: a layer's 512 outputs for each are still in the cache when the
next layer reads them, and little memory is held."""


def require_refiner(info: WeightsInfo) -> None:
    """Raise WeightsError if the weights hold no match refiner."""
    if not info.has_refiner:
        raise WeightsError(
            f"{info.path}: these weights have no match refiner, which semi-dense matching needs; "
            "use mode=sparse, or weights with a refiner (`xfeat weights list`)"
        )


class BlockedRefiner:
    """The refiner of some weights on a device. In bf16 its layers run in bf16, in every other precision in fp32.

    Raises WeightsError if the weights hold no refiner.
    """

    def __init__(self, weights: Weights, device: torch.device, precision: Precision) -> None:
        require_refiner(weights.info)
        if device.type == "cpu":
            keep_freed_memory()
        self._device = device
        self._dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
        self._layers = [
            (layer.weight.to(device, self._dtype), layer.bias.to(device, self._dtype))
            for layer in folded_layers(weights)
        ]
        self._native = self._for_library() if device.type == "cpu" and self._dtype is torch.float32 else None

    def _for_library(self) -> tuple[Library, list[tuple[native.Floats, native.Floats]]] | None:
        """Return the native library, where it multiplies fast, and the layers as it wants them."""
        loaded = library()
        if loaded is None or not loaded.multiplies_fast:
            return None
        return loaded, [(native.panels(weight.numpy()), bias.numpy()) for weight, bias in self._layers]

    @torch.inference_mode()
    def __call__(self, descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        """Map raw descriptors of matched cells (M, 64) each → (M, 64) logits, float32, as `network.Refiner`."""
        rows = _BLOCK_ROWS[self._device.type]
        blocks = zip(torch.split(descriptors0, rows), torch.split(descriptors1, rows), strict=True)
        return torch.cat([self._logits(torch.cat(block, 1)) for block in blocks])

    def _logits(self, both: Tensor) -> Tensor:
        if self._native is not None:
            return self._logits_of_library(both, *self._native)
        hidden = both.to(self._device, self._dtype)
        for weight, bias in self._layers[:-1]:
            hidden = F.linear(hidden, weight, bias).relu_()
        return F.linear(hidden, *self._layers[-1]).float()

    @staticmethod
    def _logits_of_library(both: Tensor, loaded: Library, layers: list[tuple[native.Floats, native.Floats]]) -> Tensor:
        values = both.float().numpy()
        for place, (weight, bias) in enumerate(layers, 1):
            values = native.linear(loaded, values, weight, bias, rectify=place < len(layers))
        return torch.from_numpy(values)


def folded_layers(weights: Weights) -> list[nn.Linear]:
    """Return the refiner's linear layers, on the CPU, each with the batch norm behind it; a ReLU stands between
    them.
    """
    refiner = Refiner()
    refiner.load_state_dict(weights.state, strict=False)
    refiner.eval().requires_grad_(False)
    layers: list[nn.Linear] = []
    for module in refiner.fine_matcher:
        if isinstance(module, nn.Linear):
            layers.append(module)
        elif isinstance(module, nn.BatchNorm1d):
            _fold_into(layers[-1], module)
    return layers


def _fold_into(linear: nn.Linear, norm: nn.BatchNorm1d) -> None:
    """Make a linear layer do what the batch norm without affine behind it does (torch's own folding wants affine)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    linear.weight.mul_(scale[:, None])
    linear.bias.sub_(norm.running_mean).mul_(scale)
