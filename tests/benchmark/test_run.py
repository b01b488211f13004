"""The plumbing of `xfeat bench`, with tiny photographs and one run of each."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from xfeat_cli.benchmark import cases, machine
from xfeat_cli.benchmark.chart import save_chart
from xfeat_cli.benchmark.config import BenchConfig, Measurement
from xfeat_cli.benchmark.report import BenchReport, Result
from xfeat_cli.benchmark.run import bench
from xfeat_cli.cli.bench import bench as command
from xfeat_cli.errors import UsageError

CONTRACT = [
    "network_640x480",
    "sparse_640x480",
    "sparse_1200x800",
    "semidense_1200x800",
    "match_4096",
    "refine_semidense",
    "extract_folder",
    "extract_1536x1024",
    "extract_3072x2048",
    "match_pairs",
]


@pytest.fixture
def images(tmp_path: Path, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs in a folder, and every size of the benchmark made small."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name, image in (("a b.png", photograph), ("sub/c.png", photograph[:, 5:]), ("sub/d.png", photograph[3:])):
        cv2.imwrite(str(folder / name), image)
    monkeypatch.setattr(cases, "VGA", (64, 96))
    monkeypatch.setattr(cases, "LARGE", (96, 128))
    monkeypatch.setattr(cases, "_KEYPOINTS", 200)
    monkeypatch.setattr(cases, "PHOTO", (96, 128))
    monkeypatch.setattr(cases, "BIG_PHOTO", (128, 192))
    monkeypatch.setattr(machine, "_PRODUCT_SIDE", {"cpu": 64})
    monkeypatch.setattr(machine, "_PRODUCT_SECONDS", 0.0)
    return folder


def test_the_names_are_a_contract() -> None:
    assert [name.value for name in Measurement] == CONTRACT


def test_every_measurement_runs_and_the_json_is_one_object(images: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    arguments = [
        "--images",
        str(images),
        "--seconds",
        "0",
        "--runs",
        "1",
        "--json",
        "--device",
        "cpu",
        "--precision",
        "fp32",
    ]
    result = CliRunner().invoke(app, [*arguments, "--plot", str(tmp_path / "bars.png")], catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [one["name"] for one in found["results"]] == CONTRACT
    for one in found["results"]:
        assert set(one) == {"name", "reference_ms", "default_ms", "ratio", "ceiling_share"}
        assert one["ratio"] == pytest.approx(one["reference_ms"] / one["default_ms"])
        assert one["ceiling_share"] > 0
    assert found["machine"]["precision"] == "fp32"
    assert {name: one["shared"] for name, one in found["accuracy"].items()} == dict.fromkeys(
        ("sparse_640x480", "sparse_1200x800", "semidense_1200x800", "match_4096"), 1.0
    )
    for name in ("extract_folder", "match_pairs"):
        split = found["time_split"][name]
        assert split["total"] > split["writing"] >= 0
    assert cv2.imread(str(tmp_path / "bars.png")) is not None


def test_only_some(images: Path) -> None:
    config = BenchConfig(only=(Measurement.MATCH_4096,), images=images, device="cpu", seconds=0, runs=2)
    said: list[str] = []
    report = bench(config, said.append)
    assert [result.name for result in report.results] == ["match_4096"]
    assert said == ["measure match_4096"]
    assert report.runs == {"match_4096": 2}


def test_what_cannot_be_measured_is_a_usage_error(images: Path) -> None:
    with pytest.raises(UsageError, match="two"):
        bench(BenchConfig(images=images / "a b.png"))
    with pytest.raises(UsageError, match="at least one run"):
        bench(BenchConfig(images=images, runs=0))


@pytest.mark.parametrize("name", ["bars.pdf", "nowhere/bars.png"])
def test_a_chart_that_cannot_be_written_is_a_usage_error(tmp_path: Path, name: str) -> None:
    report = BenchReport({"device": "x", "precision": "fp32"}, [Result("match_4096", 2.0, 1.0, 2.0, 0.5)])
    with pytest.raises(UsageError, match=r"PNG|cannot be written"):
        save_chart(report, tmp_path / name)


def test_the_work_is_counted_as_published() -> None:
    assert machine.network_gflop(480, 640) == pytest.approx(2.62, abs=0.02)
    assert machine.network_gflop(470, 630) == machine.network_gflop(480, 640)
    assert machine.match_gflop(4096, 4096) == pytest.approx(2.147, abs=0.001)
    assert machine.refine_gflop(1000) == pytest.approx(1.77, abs=0.02)
    assert machine.ceiling_gflops(torch.device("cpu"), cases.Precision.FP32) > 0
