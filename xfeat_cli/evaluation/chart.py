"""Accuracy against time, as in the first figure of the paper: one dot a method."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from xfeat_cli.canvas import BLUE, INK, PALE, blank, write
from xfeat_cli.evaluation.scores import ALL, Row

_WIDTH, _HEIGHT = 760, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 50, 60
_STEPS = (1, 2, 5)


def pair_milliseconds(row: Row) -> float:
    """Time from two gray images to their matches."""
    return 2 * row.ms_image + row.ms_pair


def draw(rows: Sequence[Row], figure: str) -> np.ndarray:
    """Return the chart (H, W, 3) uint8: the figure in percent, upwards, against milliseconds a pair, on a logarithmic
    axis.
    """
    shown = [row for row in rows if row.part == ALL]
    times = [max(pair_milliseconds(row), 1e-3) for row in shown]
    low, high = math.log10(min(times)) - 0.15, math.log10(max(times)) + 0.15
    top = min(100, 10 * math.ceil(max([*(row.values[figure] for row in shown), 5]) / 10))
    image = blank(_WIDTH, _HEIGHT)

    def at(milliseconds: float, percent: float) -> tuple[int, int]:
        across = (math.log10(milliseconds) - low) / (high - low)
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT)),
            round(_HEIGHT - _BOTTOM - percent / top * (_HEIGHT - _TOP - _BOTTOM)),
        )

    left, right = 10**low, 10**high
    for percent in range(0, top + 1, 10):
        cv2.line(image, at(left, percent), at(right, percent), PALE, 1)
        write(image, str(percent), 30, at(left, percent)[1] + 5, 0.5)
    for milliseconds in _ticks(left, right):
        cv2.line(image, at(milliseconds, 0), at(milliseconds, top), PALE, 1)
        write(image, f"{milliseconds:g}", at(milliseconds, 0)[0] - 10, _HEIGHT - _BOTTOM + 22, 0.5)
    write(image, f"{figure}, percent", 12, 26)
    write(image, "milliseconds a pair: two images and their matching", _LEFT, _HEIGHT - 12, 0.5)
    for row, milliseconds in zip(shown, times, strict=True):
        x, y = at(milliseconds, row.values[figure])
        cv2.circle(image, (x, y), 6, BLUE, -1, cv2.LINE_AA)
        cv2.circle(image, (x, y), 6, INK, 1, cv2.LINE_AA)
        write(image, row.method, x + 11, y + 5, 0.5)
    return image


def _ticks(left: float, right: float) -> list[float]:
    decades = range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
    return [step * 10.0**decade for decade in decades for step in _STEPS if left <= step * 10.0**decade <= right]
