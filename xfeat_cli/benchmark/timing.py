"""Two ways to do one thing, timed in turns, so that a machine that slows down slows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Medians in milliseconds, of `runs` runs of each."""

    reference_ms: float
    default_ms: float
    runs: int

    @property
    def ratio(self) -> float:
        """Return how many times faster the default is."""
        return self.reference_ms / self.default_ms

    def per(self, items: int) -> Timing:
        """Return the time of one of the `items` that a run handles."""
        return Timing(self.reference_ms / items, self.default_ms / items, self.runs)


def interleaved(
    reference: Callable[[], Any],
    default: Callable[[], Any],
    seconds: float,
    runs: int,
    wait: Callable[[], None] = lambda: None,
) -> Timing:
    """Run both alternately for at least `seconds` and `runs` times each, after one run of each that does not count.

    wait: returns when the device has done what was asked of it.
    """
    times: dict[Callable[[], Any], list[float]] = {reference: [], default: []}
    for function in times:
        function()
    wait()
    end = time.perf_counter() + seconds
    while len(times[default]) < runs or time.perf_counter() < end:
        for function, taken in times.items():
            started = time.perf_counter()
            function()
            wait()
            taken.append((time.perf_counter() - started) * 1e3)
    return Timing(median(times[reference]), median(times[default]), len(times[default]))
