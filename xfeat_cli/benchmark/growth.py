"""How time and memory grow: of `extract` over images and their size, of `match` over pairs and keypoints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from xfeat_cli.benchmark.config import Curve, GrowthConfig
from xfeat_cli.benchmark.machine import describe
from xfeat_cli.benchmark.point import Cost, Task
from xfeat_cli.demo import render_scene
from xfeat_cli.errors import UsageError
from xfeat_cli.machine.devices import resolve_device, resolve_precision
from xfeat_cli.model.network import DESCRIPTOR_DIM
from xfeat_cli.pairing.lists import exhaustive
from xfeat_cli.store.layout import FEATURES, features_entry
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features

_VIEWS = 4
_VIEW_SIZE = (640, 480)
_SMALL_SIDE = 640
_SIZED_IMAGES = 4
_KEYPOINTS = 1024
_KEYPOINT_IMAGES = 7
_SHARED_KEYPOINTS = 0.3
"""The share of two images' synthetic descriptors that are noisy copies of each other."""


@dataclass(frozen=True)
class Growth:
    """One curve. sizes: what grows, in the curve's unit. exponents: p of `fit`.

    Memory is what the jobs add to an idle process at its peak, in MB.
    """

    name: str
    unit: str
    sizes: list[float]
    costs: list[Cost]

    @property
    def time_exponent(self) -> float:
        return exponent(self.sizes, [cost.seconds for cost in self.costs])

    @property
    def memory_exponent(self) -> float:
        return exponent(self.sizes, [cost.working_mb for cost in self.costs])

    def as_json(self) -> dict[str, Any]:
        points = [{"size": size, **asdict(cost)} for size, cost in zip(self.sizes, self.costs, strict=True)]
        return {
            "name": self.name,
            "unit": self.unit,
            "points": points,
            "time_exponent": self.time_exponent,
            "memory_exponent": self.memory_exponent,
        }


@dataclass(frozen=True)
class GrowthReport:
    """machine: what it ran on, as a benchmark says it."""

    machine: dict[str, Any]
    curves: list[Growth] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"machine": self.machine, "curves": [curve.as_json() for curve in self.curves]}


def growth(config: GrowthConfig, progress: Callable[[str], None] = lambda line: None) -> GrowthReport:
    """Measure the curves, each point in a process of its own, so that its peak memory is its own.

    progress: told what is done next. Raises UsageError.
    """
    device = resolve_device(config.device)
    for name, sizes in config.sizes.items():
        if len(set(sizes)) < 2 or min(sizes) < 1:
            raise UsageError(f"{name.value} needs at least two sizes to fit an exponent, all of them 1 or more")
    report = GrowthReport(describe(device, resolve_precision(config.precision, device)))
    with TemporaryDirectory(prefix="xfeat-growth-") as folder:
        tasks = _Tasks(config, Path(folder))
        for name in config.curves:
            costs = []
            for size, task in zip(config.sizes[name], tasks.make(name), strict=True):
                progress(f"measure {name.value} at {size} {name.unit}")
                costs.append(_run(task))
            report.curves.append(Growth(name.value, name.unit, list(config.sizes[name]), costs))
    return report


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return p of `fit`."""
    return fit(sizes, values)[0]


def fit(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return (p, c) of the least-squares fit of value = c · size^p, in logarithms, to the larger half of the sizes.

    Among the smaller ones, what a run costs at any size would hide how it grows. Values of nothing count as a
    thousandth.
    """
    larger = larger_half(sizes)
    logs = [np.log(np.maximum(np.array(numbers, np.float64)[larger], 1e-3)) for numbers in (sizes, values)]
    slope, offset = np.polyfit(logs[0], logs[1], 1)
    return float(slope), float(np.exp(offset))


def larger_half(sizes: Sequence[float]) -> list[int]:
    """Return places of the larger sizes, ascending: more than half of them, and at least two."""
    return sorted(range(len(sizes)), key=sizes.__getitem__)[-max(2, len(sizes) // 2 + 1) :]


def _run(task: Task) -> Cost:
    done = subprocess.run(
        [sys.executable, "-m", "xfeat_cli.benchmark.point"], input=task.as_json(), capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UsageError(f"{task.job} could not be measured: {reason}")
    return Cost(**json.loads(done.stdout))


def _rendered(folder: Path) -> list[np.ndarray]:
    images = render_scene(folder, _VIEWS, _VIEW_SIZE).images
    return [np.asarray(cv2.imread(str(path))) for path in sorted(images.iterdir())]


class _Tasks:
    """Makes the points of the curves, with their photographs and features. folder: for files, empty."""

    def __init__(self, config: GrowthConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._options: dict[str, Any] = {
            "device": config.device, "precision": config.precision.value, "overwrite": True
        }  # fmt: skip

    def make(self, name: Curve) -> Iterator[Task]:
        sizes = self._config.sizes[name]
        makers: dict[Curve, Callable[[tuple[int, ...]], list[dict[str, Any]]]] = {
            Curve.EXTRACT_IMAGES: self._image_counts,
            Curve.EXTRACT_SIZE: self._image_sizes,
            Curve.MATCH_PAIRS: self._pair_counts,
            Curve.MATCH_KEYPOINTS: self._keypoint_counts,
        }
        arguments = makers[name](sizes)
        smallest = arguments[sizes.index(min(sizes))]
        for one in arguments:
            yield Task(name.job, smallest | self._options, one | self._options, self._config.runs)

    @cached_property
    def _views(self) -> list[np.ndarray]:
        return _rendered(self._folder / "scene")

    def _image_counts(self, counts: tuple[int, ...]) -> list[dict[str, Any]]:
        names = self._photographs("count", max(counts), _SMALL_SIDE)
        return [self._extraction("count", names[:count]) for count in counts]

    def _image_sizes(self, megapixels: tuple[int, ...]) -> list[dict[str, Any]]:
        arguments = []
        for size in megapixels:
            names = self._photographs(f"size{size}", _SIZED_IMAGES, round((size * 1e6 * 4 / 3) ** 0.5))
            arguments.append(self._extraction(f"size{size}", names))
        return arguments

    def _pair_counts(self, counts: tuple[int, ...]) -> list[dict[str, Any]]:
        images = next(n for n in range(2, max(counts) + 2) if n * (n - 1) // 2 >= max(counts))
        features, names = self._features(images, _KEYPOINTS)
        # The first pairs of a longer list would all be of one image.
        grown = sorted(exhaustive(names), key=lambda pair: (pair[1], pair[0]))
        return [self._matching(features, islice(grown, count)) for count in counts]

    def _keypoint_counts(self, counts: tuple[int, ...]) -> list[dict[str, Any]]:
        arguments = []
        for count in counts:
            features, names = self._features(_KEYPOINT_IMAGES, count)
            arguments.append(self._matching(features, exhaustive(names)))
        return arguments

    def _extraction(self, folder: str, names: list[str]) -> dict[str, Any]:
        return {
            "images": str(self._folder / folder),
            "output": str(self._folder / "features.h5"),
            "image_list": names,
            "weights": self._config.weights,
            "resize": 0,
        }

    def _matching(self, features: Path, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
        output = str(self._folder / "matches.h5")
        return {"pairs": list(pairs), "features": str(features), "output": output}

    def _photographs(self, folder: str, count: int, side: int) -> list[str]:
        """Return photographs of side × ¾ side pixels, tiled from a few rendered ones."""
        names = [f"{number:05}.jpg" for number in range(count)]
        (self._folder / folder).mkdir()
        for number, name in enumerate(names):
            view = np.roll(self._views[number % _VIEWS], 37 * number, axis=1)
            tiles = -(-side // view.shape[1])
            photograph = np.tile(view, (tiles, tiles, 1))[: round(side * 3 / 4), :side]
            cv2.imwrite(str(self._folder / folder / name), photograph)
        return names

    def _features(self, images: int, keypoints: int) -> tuple[Path, list[str]]:
        """Return a file of synthetic features; of two images some descriptors are alike."""
        path, random = self._folder / f"features-{images}-{keypoints}.h5", np.random.default_rng(0)
        common = random.normal(size=(round(_SHARED_KEYPOINTS * keypoints), DESCRIPTOR_DIM))
        names = [f"{number:05}.jpg" for number in range(images)]
        with Store.open(path, FEATURES, {"min_cossim": -1.0}) as store:
            for name in names:
                own = random.normal(size=(keypoints, DESCRIPTOR_DIM))
                own[: len(common)] = common + 0.3 * own[: len(common)]
                own /= np.linalg.norm(own, axis=1, keepdims=True)
                points = random.uniform(0, _SMALL_SIDE, (keypoints, 2)).astype(np.float32)
                scores = np.ones(keypoints, np.float32)
                store.put(name, features_entry(Features(points, scores, own.astype(np.float32), (_SMALL_SIDE, 480))))
            store.finish()
        return path, names
