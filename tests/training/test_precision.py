"""Which number format a run computes in."""

from __future__ import annotations

import pytest
import torch

from xfeat_cli.config import Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.training import precision
from xfeat_cli.training.precision import faster, step_seconds, training_precision

CPU, SIZE = torch.device("cpu"), (96, 64)


@pytest.mark.parametrize(("bf16", "chosen"), [(0.5, Precision.BF16), (0.95, Precision.FP32), (2.0, Precision.FP32)])
def test_bf16_must_be_clearly_faster(bf16: float, chosen: Precision) -> None:
    assert faster(lambda asked: bf16 if asked is Precision.BF16 else 1.0) is chosen


def test_a_step_is_measured_in_both() -> None:
    seconds = step_seconds(SIZE)
    threads = torch.get_num_threads()
    assert all(seconds(asked) > 0 for asked in (Precision.BF16, Precision.FP32))
    assert torch.get_num_threads() == threads


def test_what_is_asked_for_or_was_chosen_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    monkeypatch.setattr(precision, "step_seconds", lambda size: lambda asked: 0.1 if asked is Precision.BF16 else 1.0)
    assert training_precision(Precision.AUTO, CPU, SIZE, None) is Precision.BF16
    assert training_precision(Precision.AUTO, CPU, SIZE, "fp32") is Precision.FP32
    assert training_precision(Precision.FP32, CPU, SIZE, "bf16") is Precision.FP32
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    assert training_precision(Precision.AUTO, CPU, SIZE, None) is Precision.FP32
    with pytest.raises(UsageError, match="bf16 or fp32"):
        training_precision(Precision.FP16, CPU, SIZE, None)
