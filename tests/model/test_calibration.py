"""Which way of computing `auto` is: chosen by what was measured, kept, and measured again when something changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.model import calibration, weights
from xfeat_cli.model.calibration import Way, choose, fastest

CPU = torch.device("cpu")
FP32, BF16, AUTO = Precision.FP32, Precision.BF16, Precision.AUTO
TORCH, OPENVINO = Backend.TORCH, Backend.OPENVINO
WAYS = [Way(FP32, OPENVINO), Way(FP32, TORCH), Way(BF16, OPENVINO), Way(BF16, TORCH)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, float]]:
    """A machine with all ways and an empty cache folder; what is measured next comes first."""
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path / "cache"))
    timings: list[dict[str, float]] = []
    monkeypatch.setattr(calibration, "measure", lambda weights: timings.pop(0))
    monkeypatch.setattr(calibration, "multiplies_bf16", lambda: True)
    rows = {name: replace(row, refusal=lambda device, precision: "") for name, row in calibration.BACKENDS.items()}
    monkeypatch.setattr(calibration, "BACKENDS", rows)
    return timings


def _timings(*values: float) -> dict[str, float]:
    return {str(way): value for way, value in zip(WAYS, values, strict=True)}


def test_the_fastest_wins_and_rounding_must_gain_much() -> None:
    assert fastest(WAYS, _timings(30, 40, 20, 25)) == Way(BF16, OPENVINO)
    assert fastest(WAYS, _timings(30, 40, 26, 27)) == Way(FP32, OPENVINO)
    assert fastest(WAYS, _timings(30, 20, 25, 19)) == Way(FP32, TORCH)
    assert fastest(WAYS, {}) == WAYS[0]


def test_it_is_measured_once_and_kept(measured: list[dict[str, float]]) -> None:
    loaded = weights.load("default")
    measured[:] = [_timings(30, 40, 20, 25)]
    assert choose(loaded, CPU, AUTO, Backend.AUTO) == Way(BF16, OPENVINO)
    assert choose(loaded, CPU, AUTO, Backend.AUTO) == Way(BF16, OPENVINO)
    assert choose(loaded, CPU, FP32, Backend.AUTO) == Way(FP32, OPENVINO)
    assert choose(loaded, CPU, AUTO, TORCH) == Way(BF16, TORCH)
    assert choose(loaded, CPU, FP32, TORCH) == Way(FP32, TORCH)
    measured[:] = [_timings(30, 40, 29, 29)]
    calibration.calibrate(loaded)
    assert choose(loaded, CPU, AUTO, Backend.AUTO) == Way(FP32, OPENVINO)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'[1, {"machine": 1}]', b"\xff", b"[" * 100_000])
def test_what_is_kept_may_be_damaged(measured: list[dict[str, float]], damage: bytes) -> None:
    calibration.cache_folder().mkdir()
    (calibration.cache_folder() / "calibration.json").write_bytes(damage)
    measured[:] = [_timings(30, 40, 20, 25)]
    assert choose(weights.load("default"), CPU, AUTO, Backend.AUTO) == Way(BF16, OPENVINO)
    assert measured == []


def test_another_version_is_measured_again(
    measured: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured[:] = [_timings(30, 40, 20, 25), _timings(10, 40, 20, 25)]
    loaded = weights.load("default")
    choose(loaded, CPU, AUTO, Backend.AUTO)
    monkeypatch.setattr(calibration, "__version__", "999")
    assert choose(loaded, CPU, AUTO, Backend.AUTO) == Way(FP32, OPENVINO)
    monkeypatch.undo()
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "multiplies_bf16", lambda: True)
    assert calibration.stored() == _timings(30, 40, 20, 25)  # the first is kept beside it


def test_few_are_kept(measured: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    for version in range(calibration._RECORDS_KEPT + 3):
        measured[:] = [_timings(30, 40, 20, 25)]
        monkeypatch.setattr(calibration, "__version__", str(version))
        calibration.calibrate(weights.load("default"))
    assert len(json.loads((calibration.cache_folder() / "calibration.json").read_text())) == calibration._RECORDS_KEPT


@pytest.mark.parametrize("tiles", [True, False])
def test_where_nothing_can_be_kept_the_processor_decides(
    measured: list[dict[str, float]], tiles: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(calibration, "has_bf16_tiles", lambda: tiles)
    measured[:] = [_timings(30, 40, 20, 25), _timings(30, 40, 20, 25)]
    expected = Way(BF16 if tiles else FP32, OPENVINO)
    assert choose(weights.load("default"), CPU, AUTO, Backend.AUTO) == expected
    with pytest.raises(UsageError, match="XFEAT_HOME"):
        calibration.calibrate(weights.load("default"))


def test_what_does_not_run_is_refused() -> None:
    loaded = weights.load("default")
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        choose(loaded, CPU, Precision.FP16, Backend.AUTO)
    with pytest.raises(UsageError, match="device=cpu"):
        choose(loaded, torch.device("cuda"), AUTO, OPENVINO)
    assert choose(loaded, torch.device("cuda"), AUTO, Backend.AUTO) == Way(Precision.FP16, TORCH)


def test_every_way_of_this_machine_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path))
    monkeypatch.setattr(calibration, "_SIZE", (64, 64))
    timings = calibration.calibrate(weights.load("default"))
    assert "fp32 torch" in timings
    assert all(0 < taken < 1e4 for taken in timings.values())
    assert calibration.stored() == timings
    assert json.loads((tmp_path / "calibration.json").read_text())[-1]["milliseconds"] == timings
