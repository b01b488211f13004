"""How far a stage has come: so many of so many, on one line that is written over."""

from __future__ import annotations

import sys
import time
from typing import Any

import typer

from xfeat_cli.jobs.progress import Report

_PLAIN_LINE_SECONDS = 10.0


class CountConsole:
    """Listens to a stage whose reports hold how many items are done so far. unit: "pair", "image" or "second"."""

    def __init__(self, stage: str, unit: str, *, quiet: bool) -> None:
        self._stage = stage
        self._unit = unit
        self._quiet = quiet
        self._bar: Any = None
        self._total = 0
        self._last_line = time.monotonic()

    def start(self, total: int) -> None:
        self.close()
        self._total = total
        if sys.stderr.isatty() and not self._quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=self._unit, desc=self._stage, leave=False, file=sys.stderr)

    def update(self, report: Report) -> None:
        part = ""
        if report.details.get("components", 1) > 1:
            part = f", part {report.details['component'] + 1} of {report.details['components']}"
        if self._bar is not None:
            self._bar.set_postfix_str(part.removeprefix(", "), refresh=False)
            self._bar.update(report.count - self._bar.n)
        elif not self._quiet and time.monotonic() - self._last_line > _PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            typer.echo(f"{self._stage}: {report.count:,} of {self._total:,} {self._unit}s{part}", err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
