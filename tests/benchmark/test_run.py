"""The plumbing of `xfeat bench`, with tiny photographs and one run of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

from xfeat_cli.benchmark import cases, machine
from xfeat_cli.benchmark.accuracy import Agreement
from xfeat_cli.benchmark.chart import save_chart
from xfeat_cli.benchmark.config import BenchConfig, Measurement
from xfeat_cli.benchmark.report import Alternative, BenchReport, Result
from xfeat_cli.benchmark.run import bench
from xfeat_cli.cli.bench.speed import _print_tables
from xfeat_cli.cli.bench.speed import bench as command
from xfeat_cli.errors import UsageError
from xfeat_cli.model import calibration

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
    others = {one["name"]: one for one in found["alternatives"]}
    assert "opencv_sift_128x96" in others
    assert ("kornia_xfeat_128x96" in others) == (find_spec("kornia") is not None)
    for one in others.values():
        assert one["ratio"] == pytest.approx(one["alternative_ms"] / one["default_ms"])


def test_the_table_fits_80_columns_with_whole_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines: list[str] = []
    monkeypatch.setattr("rich.console.Console.print", _printed_into(lines))
    names = [name.value for name in Measurement]
    report = BenchReport(
        {"device": "x", "threads": 2, "precision": "bf16", "backend": "openvino", "ceiling_gflops": 1905.0},
        [Result(name, 12345.6, 1234.5, 10.12, 0.55) for name in names],
        dict.fromkeys(names, 100),
        dict.fromkeys(names, Agreement(1.0, 0.99999)),
        alternatives=[Alternative("kornia_xfeat_1200x800", 2345.6, 234.5, 10.00)],
    )
    _print_tables(report)
    text = "".join(lines)
    assert max(map(len, text.splitlines())) <= 80
    for name in (*names, "kornia_xfeat_1200x800"):
        (line,) = (line for line in text.splitlines() if line.startswith(name + " "))
        assert "10.1" in line or "10.0" in line
    assert "…" not in text


def _printed_into(lines: list[str]) -> Callable[..., None]:
    real = Console.print

    def record(self: Console, *objects: object, **options: object) -> None:
        with self.capture() as capture:
            real(self, *objects, **options)  # type: ignore[arg-type]
        lines.append(capture.get())

    return record


def test_calibrate_shows_what_auto_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path))
    monkeypatch.setattr(calibration, "_SIZE", (64, 64))
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, ["--calibrate", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["chosen"] in found["milliseconds"]
    assert calibration.stored() == found["milliseconds"]
    assert "auto" in CliRunner().invoke(app, ["--calibrate"], catch_exceptions=False).stdout


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
