from __future__ import annotations

from pathlib import Path

import pytest
import torch

from xfeat_cli.config import Precision
from xfeat_cli.errors import WeightsError
from xfeat_cli.model import refiner as module
from xfeat_cli.model.network import Refiner, XFeatNetwork
from xfeat_cli.model.refiner import BlockedRefiner
from xfeat_cli.model.weights import Weights, WeightsInfo


def _blocked(*modules: torch.nn.Module, precision: Precision = Precision.FP32) -> BlockedRefiner:
    state: dict[str, torch.Tensor] = {}
    for one in modules:
        state |= one.state_dict()
    info = WeightsInfo("mine", Path("mine.safetensors"), "0" * 64, {}, len(modules) > 1, 0.8, "corner", 0)
    return BlockedRefiner(Weights(info, state), torch.device("cpu"), precision)


def _refiner() -> Refiner:
    torch.manual_seed(0)
    refiner = Refiner()
    for one in refiner.modules():
        if isinstance(one, torch.nn.BatchNorm1d):
            assert one.running_mean is not None
            assert one.running_var is not None
            one.running_mean.normal_(0, 0.2)
            one.running_var.uniform_(0.1, 2)
    return refiner.eval()


@pytest.mark.parametrize("count", [0, 1, 4, 5, 13])
def test_blocks_leave_the_answers(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", {"cpu": 4})
    refiner = _refiner()
    d0, d1 = torch.randn(2, count, 64)
    with torch.inference_mode():
        expected = refiner(d0, d1)
    found = _blocked(XFeatNetwork(), refiner)(d0, d1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_bf16_stays_within_its_rounding() -> None:
    refiner = _refiner()
    d0, d1 = torch.randn(2, 40, 64)
    with torch.inference_mode():
        expected = refiner(d0, d1)
    found = _blocked(XFeatNetwork(), refiner, precision=Precision.BF16)(d0.half(), d1.half())
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert (found - expected).abs().max() < 0.05 * expected.std()


def test_without_a_refiner_there_is_one_clear_error() -> None:
    with pytest.raises(WeightsError, match="no match refiner"):
        _blocked(XFeatNetwork())
