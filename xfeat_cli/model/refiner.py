"""How the match refiner is run: batch norm folded, in blocks that stay in a CPU's cache."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xfeat_cli.config import Precision
from xfeat_cli.model.runtime import DTYPES, Runtime

_BLOCK_ROWS = {"cpu": 1024, "cuda": 1 << 16, "mps": 1 << 14}
"""Matches that pass through all layers before the next: a layer's 512 outputs for each are still in the cache when the
next layer reads them, and little memory is held."""


class BlockedRefiner:
    """The refiner of a runtime. In bf16 its layers run in bf16, in every other precision in fp32.

    Raises WeightsError if the weights hold no refiner.
    """

    def __init__(self, runtime: Runtime) -> None:
        runtime.require_refiner()
        assert runtime._refiner is not None
        self._device = runtime.device
        self._dtype = torch.bfloat16 if runtime.precision is Precision.BF16 else DTYPES[Precision.FP32]
        linear = [layer for layer in runtime._refiner.fine_matcher if isinstance(layer, nn.Linear)]
        self._layers = [(layer.weight.to(self._dtype), layer.bias.to(self._dtype)) for layer in linear]

    @torch.inference_mode()
    def __call__(self, descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        """Raw descriptors of matched cells (M, 64) each → (M, 64) logits, float32, as `network.Refiner`."""
        rows = _BLOCK_ROWS[self._device.type]
        blocks = zip(torch.split(descriptors0, rows), torch.split(descriptors1, rows), strict=True)
        return torch.cat([self._logits(torch.cat(block, 1)) for block in blocks])

    def _logits(self, both: Tensor) -> Tensor:
        hidden = both.to(self._device, self._dtype)
        for weight, bias in self._layers[:-1]:
            hidden = F.linear(hidden, weight, bias).relu_()
        return F.linear(hidden, *self._layers[-1]).float()
