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
from typing import Generic, Protocol, TypeVar

from xfeat_cli.evaluation.feature_cache import cached_features, median_seconds
from xfeat_cli.evaluation.methods import Method, Points
from xfeat_cli.images import ImageFile
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order
from xfeat_cli.store import FeaturesReader
from xfeat_cli.types import Features

_HELD_IMAGES = 16

ALL = "all"
"""The part of a benchmark that is all of it."""


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


@dataclass(frozen=True)
class Row:
    """What a method reached on a part of a benchmark.

    keypoints: mean of an image; matches: mean of a pair. ms_image, ms_pair: median milliseconds of detecting in an image
    (decoding excluded) and of matching a pair, each on one thread of a CPU. values: the benchmark's figures by name.
    """

    method: str
    part: str
    pairs: int
    keypoints: float
    matches: float
    ms_image: float
    ms_pair: float
    values: dict[str, float]


@dataclass(frozen=True)
class PairScore:
    """One method on one pair. values: the benchmark's figures of a pair by name."""

    method: str
    part: str
    image0: str
    image1: str
    matches: int
    values: dict[str, float]


class Progress(Protocol):
    def start(self, what: str, total: int) -> None:
        """Called when features are made or pairs matched: what is done, how many there are."""

    def step(self, name: str) -> None:
        """Called after each image or pair."""


Score = Callable[[Pair, Points, Features, Features], dict[str, float]]
"""A pair, its matched points and the features of both its photographs → figures by name."""

Summarise = Callable[[Sequence[dict[str, float]]], dict[str, float]]
"""The figures of all pairs of a part → those of the part."""


def compare(
    benchmark: Benchmark[Pair],
    methods: Sequence[Method],
    folder: Path,
    score: Score[Pair],
    summarise: Summarise,
    progress: Progress,
) -> Iterator[tuple[list[Row], list[PairScore]]]:
    """Each method in turn: its rows, of the whole benchmark and of each part, and the scores of its pairs.

    folder: where features are kept. Raises ImageError, StoreError.
    """
    for method in methods:
        workers = usable_cores() if method.concurrent else 1
        progress.start(f"{method.name}: features", len(benchmark.images))
        path = cached_features(method, benchmark.images, folder, workers, progress.step)
        with FeaturesReader(path) as reader:
            ms_image = 1000 * median_seconds(reader.entry_attributes(image.name) for image in benchmark.images)
            keypoints = sum(reader.count(image.name) for image in benchmark.images) / len(benchmark.images)
            progress.start(f"{method.name}: pairs", len(benchmark.pairs))
            scores, seconds = [], []
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
        yield rows, scores


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
    """All scores, and those of each part where there are several."""
    parts = {part: [one for one in scores if one.part == part] for part in sorted({one.part for one in scores})}
    return {ALL: list(scores), **(parts if len(parts) > 1 else {})}
