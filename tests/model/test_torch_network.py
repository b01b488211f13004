from __future__ import annotations

import torch

from xfeat_cli.model import weights
from xfeat_cli.model.torch_network import TorchNetwork, folded_network

CPU = torch.device("cpu")


def test_bf16_ends_in_float32() -> None:
    exact, rough = (
        TorchNetwork(folded_network(weights.load("default")), CPU, dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    image = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found, cells = exact.heads(image), rough.heads(image), rough.cells(image)
    for result, true in zip((*found, *cells), (*expected, expected[0], expected[2]), strict=True):
        assert result.dtype == torch.float32
        assert 0 < (result - true).abs().max() <= 0.05 * (true.max() - true.min())
        assert not torch.equal(result, result.bfloat16().float())  # not rounded at the end
