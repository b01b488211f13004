"""What a comparison measures: a method on one pair, and on a part of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

ALL = "all"
"""The part of a benchmark that is all of it."""


@dataclass(frozen=True)
class Row:
    """What a method reached on a part of a benchmark.

    keypoints: mean of an image; matches: mean of a pair. ms_image, ms_pair: median milliseconds of detecting in a
    decoded image and of matching a pair, on one thread of a CPU. values: the benchmark's figures by name.
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
