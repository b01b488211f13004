"""Methods on the same pairs of photographs with the same budget: features made once, then each pair matched and scored.

What a pair is scored by belongs to the benchmark: `homography`, `pose`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, Generic, Protocol, TypeVar

from xfeat_cli.evaluation.feature_cache import cached_features, median_seconds
from xfeat_cli.evaluation.methods import CompareConfig, Method, Points, methods
from xfeat_cli.evaluation.results import write_results
from xfeat_cli.evaluation.scores import ALL, PairScore, Row
from xfeat_cli.images import ImageFile
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import Features

_HELD_IMAGES = 16


class BenchmarkPair(Protocol):
    """Two photographs, by name, and the part of the benchmark that they belong to."""

    @property
    def image0(self) -> str: ...
    @property
    def image1(self) -> str: ...
    @property
    def part(self) -> str: ...


Pair = TypeVar("Pair", bound=BenchmarkPair)


@dataclass(frozen=True)
class Benchmark(Generic[Pair]):
    """Pairs with their truth, and the photographs that they name."""

    name: str
    pairs: Sequence[Pair]
    images: Sequence[ImageFile]


class Progress(Protocol):
    def start(self, what: str, total: int) -> None:
        """Called when features are made or pairs matched: what is done, how many there are."""

    def step(self, name: str) -> None:
        """Called after each image or pair."""


Score = Callable[[Pair, Points, Features, Features], dict[str, float]]
"""A pair, its matched points and the features of both its photographs → figures by name."""

Summarise = Callable[[Sequence[dict[str, float]]], dict[str, float]]
"""The figures of all pairs of a part → those of the part."""


def settings_of(benchmark: Benchmark[Pair], config: CompareConfig) -> dict[str, Any]:
    """Return what every benchmark's figures depend on, for people."""
    return {
        "benchmark": benchmark.name,
        "pairs": len(benchmark.pairs),
        "images": len(benchmark.images),
        "resize": config.resize,
        "top_k": config.top_k or "4096 (semi-dense 10000)",
        "min_cossim": "as the weights ask" if config.min_cossim is None else config.min_cossim,
        "seeds": f"0 to {config.seeds - 1}",
    }


def compare(
    benchmark: Benchmark[Pair],
    config: CompareConfig,
    folder: Path,
    score: Score[Pair],
    summarise: Summarise,
    progress: Progress,
    settings: dict[str, Any],
    headline: str,
) -> list[Row]:
    """Return the rows of each method, of the whole benchmark and of each part.

    folder: where features are kept and results written; those of the methods done so far after each method.
    settings: written beside them, with the weights added. headline: the figure that the chart shows. Raises UsageError,
    WeightsError, ImageError, StoreError.
    """
    rows: list[Row] = []
    scores: list[PairScore] = []
    chosen = methods(config)
    settings["weights"] = f"{chosen[0].made_with['weights']} ({str(chosen[0].made_with['weights_sha256'])[:8]})"
    for method in chosen:
        measured, scored = _measured(benchmark, method, folder / "features", score, summarise, progress)
        rows += measured
        scores += scored
        write_results(folder, rows, scores, settings, headline)
    return rows


def _measured(
    benchmark: Benchmark[Pair],
    method: Method,
    features: Path,
    score: Score[Pair],
    summarise: Summarise,
    progress: Progress,
) -> tuple[list[Row], list[PairScore]]:
    workers = usable_cores() if method.concurrent else 1
    progress.start(f"{method.name}: features", len(benchmark.images))
    path = cached_features(method, benchmark.images, features, workers, progress.step)
    scores, seconds = [], []
    with FeaturesReader(path) as reader:
        ms_image = 1000 * median_seconds(reader.entry_attributes(image.name) for image in benchmark.images)
        keypoints = sum(reader.count(image.name) for image in benchmark.images) / len(benchmark.images)
        progress.start(f"{method.name}: pairs", len(benchmark.pairs))
        for scored, taken in _scored(benchmark.pairs, method, reader, score, workers):
            scores.append(scored)
            seconds.append(taken)
            progress.step(f"{scored.image0} {scored.image1}")
    rows = [
        Row(
            method.name,
            part,
            len(chosen),
            keypoints,
            sum(one.matches for one in chosen) / len(chosen),
            ms_image,
            1000 * median(seconds),
            summarise([one.values for one in chosen]),
        )
        for part, chosen in _by_part(scores).items()
    ]
    return rows, scores


def _scored(
    pairs: Iterable[Pair], method: Method, reader: FeaturesReader, score: Score[Pair], workers: int
) -> Iterator[tuple[PairScore, float]]:
    load = lru_cache(_HELD_IMAGES)(reader.load)

    def work(loaded: tuple[Pair, Features, Features]) -> tuple[PairScore, float]:
        pair, features0, features1 = loaded
        begun = time.perf_counter()
        points = method.match(features0, features1)
        seconds = time.perf_counter() - begun
        values = score(pair, points, features0, features1)
        return PairScore(method.name, pair.part, pair.image0, pair.image1, len(points[0]), values), seconds

    loaded = ((pair, load(pair.image0), load(pair.image1)) for pair in pairs)
    for _, future in in_order(work, loaded, workers):
        yield future.result()


def _by_part(scores: Sequence[PairScore]) -> dict[str, list[PairScore]]:
    """Return all scores, and those of each part where there are several."""
    parts = {part: [one for one in scores if one.part == part] for part in sorted({one.part for one in scores})}
    return {ALL: list(scores), **(parts if len(parts) > 1 else {})}
