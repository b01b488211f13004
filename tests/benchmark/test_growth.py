"""The plumbing of `xfeat bench growth`: fits on exact curves, points on tiny inputs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from xfeat_cli.benchmark import growth as module
from xfeat_cli.benchmark import machine
from xfeat_cli.benchmark.config import Curve, GrowthConfig
from xfeat_cli.benchmark.growth import Growth, GrowthReport, exponent, growth
from xfeat_cli.benchmark.growth_chart import save_growth_chart
from xfeat_cli.benchmark.point import Cost, Task, measure
from xfeat_cli.cli.bench.speed import app
from xfeat_cli.errors import UsageError
from xfeat_cli.store.reader import FeaturesReader

CONTRACT = ["extract_images", "extract_size", "match_pairs", "match_keypoints"]


@pytest.fixture
def small(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Everything small, and each point in this process: the tasks it was given."""
    monkeypatch.setattr(module, "_SMALL_SIDE", 96)
    monkeypatch.setattr(module, "_SIZED_IMAGES", 1)
    monkeypatch.setattr(module, "_KEYPOINTS", 20)
    monkeypatch.setattr(module, "_KEYPOINT_IMAGES", 3)
    monkeypatch.setattr(machine, "_PRODUCT_SIDE", {"cpu": 64})
    monkeypatch.setattr(machine, "_PRODUCT_SECONDS", 0.0)
    monkeypatch.setattr(module, "_rendered", lambda folder: [photograph] * 4)
    tasks: list[Task] = []

    def run(task: Task) -> Cost:
        tasks.append(Task(**json.loads(task.as_json())))
        return measure(tasks[-1])

    monkeypatch.setattr(module, "_run", run)
    return tasks


@pytest.mark.parametrize("power", [0, 1, 2, -0.5])
def test_the_exponent_of_an_exact_power(power: float) -> None:
    sizes = [8, 1, 32, 4]
    assert exponent(sizes, [7 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


def test_the_smaller_sizes_are_not_fitted() -> None:
    assert exponent([1, 2, 4, 8, 16], [99, 99, 4, 8, 16]) == pytest.approx(1)
    assert exponent([16, 1, 8, 2], [16, 99, 8, 2]) == pytest.approx(1)


def test_nothing_used_is_no_error() -> None:
    assert exponent([1, 2, 4], [0, 0, 0]) == pytest.approx(0)


def test_every_curve_and_the_json_is_one_object(small: list[Task], tmp_path: Path) -> None:
    sizes = ["--images", "1,2", "--megapixels", "1,2", "--pairs", "2,4", "--keypoints", "10,30"]
    only = [argument for curve in CONTRACT if curve != "extract_size" for argument in ("--only", curve)]
    arguments = ["growth", *sizes, *only, "--runs", "1", "--device", "cpu", "--json", "--quiet"]
    result = CliRunner().invoke(app, [*arguments, "--plot", str(tmp_path / "growth.png")], catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [curve["name"] for curve in found["curves"]] == [name for name in CONTRACT if name != "extract_size"]
    for curve in found["curves"]:
        assert set(curve) == {"name", "unit", "points", "time_exponent", "memory_exponent"}
        for point in curve["points"]:
            assert set(point) == {"size", "seconds", "peak_mb", "idle_mb"}
            assert point["peak_mb"] >= point["idle_mb"] > 10
    assert [len(task.arguments["image_list"]) for task in small[:2]] == [1, 2]
    assert [len(task.arguments["pairs"]) for task in small[2:4]] == [2, 4]
    assert cv2.imread(str(tmp_path / "growth.png")) is not None


def test_the_inputs_are_as_large_as_said(tmp_path: Path, small: list[Task]) -> None:
    tasks = module._Tasks(GrowthConfig(only=(Curve.EXTRACT_SIZE,), megapixels=(1, 4)), tmp_path)
    for task, megapixels in zip(tasks.make(Curve.EXTRACT_SIZE), (1, 4), strict=True):
        height, width, _ = cv2.imread(str(Path(task.arguments["images"]) / task.arguments["image_list"][0])).shape
        assert height * width == pytest.approx(1e6 * megapixels, rel=0.01)
        assert task.arguments["resize"] == 0
    path, names = tasks._features(3, 50)
    with FeaturesReader(path) as reader:
        assert [len(reader.load(name)) for name in names] == [50] * 3


def test_a_point_in_a_process_of_its_own(tmp_path: Path) -> None:
    path, [one, two] = module._Tasks(GrowthConfig(), tmp_path)._features(2, 30)
    arguments = {"pairs": [(one, two)], "features": str(path), "output": str(tmp_path / "m.h5"), "overwrite": True}
    cost = module._run(Task("match", arguments, arguments, 1))
    assert cost.seconds > 0
    assert cost.peak_mb > cost.idle_mb > 50


@pytest.mark.parametrize(("said", "reason"), [("Traceback\nStoreError: no m.h5\n", "StoreError: no m.h5"), ("", "-9")])
def test_a_point_that_fails_says_why(said: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], -9, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **options: ended)
    with pytest.raises(UsageError, match=f"match could not be measured: .*{reason}"):
        module._run(Task("match", {}, {}, 1))


@pytest.mark.parametrize("sizes", [(), (5,), (5, 5), (0, 5)])
def test_an_exponent_needs_two_sizes(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="match_pairs needs"):
        growth(GrowthConfig(only=(Curve.MATCH_PAIRS,), pairs=sizes, device="cpu"))


def test_wrong_options_are_usage_errors(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["growth", "--pairs", "1;2"]).exit_code == 2
    with pytest.raises(UsageError, match=r"\.png"):
        CliRunner().invoke(app, ["growth", "--plot", "growth.pdf"], catch_exceptions=False)


def test_the_names_are_a_contract() -> None:
    assert [curve.value for curve in Curve] == CONTRACT


@pytest.mark.parametrize("values", [(1.0, 2.0), (0.0, 0.0), (300.0, 301.0)])
def test_a_chart_of_any_values(values: tuple[float, float], tmp_path: Path) -> None:
    costs = [Cost(value, 100 + value, 100) for value in values]
    report = GrowthReport({"device": "x", "precision": "fp32"}, [Growth("match_pairs", "pairs", [10, 20], costs)])
    save_growth_chart(report, tmp_path / "growth.png")
    assert (cv2.imread(str(tmp_path / "growth.png")) < 100).any()


def test_peak_memory_counts_what_was_held() -> None:
    before = machine.peak_memory_mb()
    held = np.ones(200 << 20, np.uint8)
    assert machine.peak_memory_mb() >= before
    assert machine.peak_memory_mb() >= held.nbytes / 2**20
