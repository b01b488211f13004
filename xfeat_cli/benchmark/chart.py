"""The ratios as a bar chart in a PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from xfeat_cli.benchmark.report import BenchReport
from xfeat_cli.canvas import BLUE, PALE, blank, save_png, write

_ROW = 44
_LEFT, _BARS, _RIGHT = 250, 560, 270


def save_chart(report: BenchReport, path: Path) -> None:
    """Draw a bar for each result: how many times faster than the reference path. Raises UsageError if not writable."""
    height = (len(report.results) + 2) * _ROW
    image = blank(_LEFT + _BARS + _RIGHT, height)
    longest = max([1.0, *(result.ratio for result in report.results)])
    machine = report.machine
    _text(image, f"times faster than the authors' code: {machine['device']}, {machine['precision']}", 12, 0)
    once = _LEFT + round(_BARS / longest)
    cv2.line(image, (once, _ROW), (once, height - _ROW), PALE, 1)
    _text(image, "1x", once - 8, len(report.results) + 1)
    for row, result in enumerate(report.results, 1):
        end = _LEFT + max(1, round(_BARS * result.ratio / longest))
        cv2.rectangle(image, (_LEFT, row * _ROW + 9), (end, (row + 1) * _ROW - 9), BLUE, -1)
        _text(image, result.name, 12, row)
        times = f"{result.ratio:.1f}x  {result.reference_ms:.1f} -> {result.default_ms:.1f} ms"
        _text(image, times, end + 10, row)
    save_png(image, path)


def _text(image: np.ndarray, text: str, x: int, row: int) -> None:
    write(image, text, x, row * _ROW + 29)
