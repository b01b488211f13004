"""The growth curves in a PNG: time above, memory below, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from xfeat_cli.benchmark.growth import Growth, GrowthReport, fit, larger_half
from xfeat_cli.canvas import BLUE, INK, PALE, blank, save_png, text_width, write

_WIDTH, _HEIGHT = 360, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 62, 24, 46
_TITLE = 40
_SMALL = 0.42
_MARGIN = 0.12
"""The share of a panel's range that stays free at both ends."""
_LEAST_RANGE = math.log10(4)
"""A flat curve shall look flat: a panel spans at least a factor of four."""


def save_growth_chart(report: GrowthReport, path: Path) -> None:
    """Draw a column for each curve, with measured points and fitted exponents. Raises UsageError if not writable."""
    image = blank(max(2, len(report.curves)) * _WIDTH, _TITLE + 2 * _HEIGHT)
    write(image, f"{report.machine['device']}, {report.machine['precision']}", 12, 28)
    for column, curve in enumerate(report.curves):
        panel = image[_TITLE:, column * _WIDTH : (column + 1) * _WIDTH]
        _draw(panel[:_HEIGHT], curve, "s", [cost.seconds for cost in curve.costs])
        _draw(panel[_HEIGHT:], curve, "MB above idle", [cost.working_mb for cost in curve.costs])
    save_png(image, path)


def _draw(panel: np.ndarray, curve: Growth, unit: str, values: Sequence[float]) -> None:
    slope, factor = fit(curve.sizes, values)
    fitted = {curve.sizes[place]: factor * curve.sizes[place] ** slope for place in larger_half(curve.sizes)}
    x = _Axis(curve.sizes, _LEFT, _WIDTH - _RIGHT)
    y = _Axis([*values, *fitted.values()], _HEIGHT - _BOTTOM, _TOP)
    cv2.rectangle(panel, (_LEFT, _TOP), (_WIDTH - _RIGHT, _HEIGHT - _BOTTOM), PALE, 1)
    for size in curve.sizes:
        label = f"{size:g}"
        write(panel, label, x.at(size) - text_width(label, _SMALL) // 2, _HEIGHT - _BOTTOM + 18, _SMALL)
    for tick in y.ticks():
        cv2.line(panel, (_LEFT, y.at(tick)), (_WIDTH - _RIGHT, y.at(tick)), PALE, 1)
        label = f"{tick:g}"
        write(panel, label, _LEFT - 6 - text_width(label, _SMALL), y.at(tick) + 4, _SMALL)
    line = [(x.at(size), y.at(value)) for size, value in fitted.items()]
    cv2.line(panel, line[0], line[-1], BLUE, 1, cv2.LINE_AA)
    for size, value in zip(curve.sizes, values, strict=True):
        cv2.circle(panel, (x.at(size), y.at(value)), 4, INK, -1, cv2.LINE_AA)
    write(panel, f"{curve.name}: {unit}", _LEFT, _TOP - 28, 0.5)
    write(panel, f"size^{slope:.2f}", _LEFT, _TOP - 9, 0.5)
    write(panel, curve.unit, _LEFT, _HEIGHT - _BOTTOM + 38, _SMALL)


class _Axis:
    """Values, all positive, on a logarithmic scale between two pixel positions."""

    def __init__(self, values: Sequence[float], first: int, last: int) -> None:
        logs = [math.log10(max(value, 1e-3)) for value in values]
        spare = max(0.0, _LEAST_RANGE - (max(logs) - min(logs))) / 2
        low, high = min(logs) - spare, max(logs) + spare
        self._low, self._high = low - _MARGIN * (high - low), high + _MARGIN * (high - low)
        self._first, self._last = first, last

    def at(self, value: float) -> int:
        share = (math.log10(max(value, 1e-3)) - self._low) / (self._high - self._low)
        return round(self._first + share * (self._last - self._first))

    def ticks(self) -> list[float]:
        """Return 1, 2 and 5 times the powers of ten in range."""
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        every = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        return [tick for tick in every if self._low <= math.log10(tick) <= self._high]
