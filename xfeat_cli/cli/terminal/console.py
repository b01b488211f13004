"""What a job looks like in a terminal, in a log file, and to a program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import typer

from xfeat_cli.cli.terminal.interrupts import advising
from xfeat_cli.cli.terminal.wording import in_options
from xfeat_cli.errors import one_line
from xfeat_cli.jobs.progress import Report, Status, Summary

_PLAIN_LINE_SECONDS = 10.0
_SLOW_START = 0.5


class JobConsole:
    """Listens to a job: progress on stderr, `--json` lines on stdout. unit: "image" or "pair"."""

    def __init__(self, unit: str, counted: str, *, as_json: bool, quiet: bool, verbose: bool) -> None:
        self._unit = unit
        self._counted = counted
        self._json = as_json
        self._quiet = quiet
        self._verbose = verbose
        self._bar = None
        self._total = self._seen = 0
        self._born = self._started = self._last_line = time.monotonic()

    def begin(self, doing: str) -> None:
        """Say what is being prepared, before anything slow is even imported."""
        self._line(f"{doing} …")

    def start(self, total: int) -> None:
        self._total = total
        self._started = self._last_line = time.monotonic()
        if sys.stderr.isatty() and not self._quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=self._unit, dynamic_ncols=True, leave=False, file=sys.stderr)

    def update(self, report: Report) -> None:
        self._seen += 1
        if self._json:
            self._print_json(report)
        if report.status is Status.FAILED:
            self._line(f"failed: {in_options(report.error)}", always=True)
        elif self._verbose:
            self._line(f"{report.name}: {report.status.value}, {report.count} {self._counted}")
        if self._bar is not None:
            self._bar.set_postfix_str(one_line(report.name)[-40:], refresh=False)
            self._bar.update()
        elif not self._quiet and time.monotonic() - self._last_line > _PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            rate = self._seen / (self._last_line - self._started)
            left = (self._total - self._seen) / rate
            typer.echo(
                f"{self._seen}/{self._total} {self._unit}s, {rate:.1f}/s, {left:.0f} s left, {one_line(report.name)}",
                err=True,
            )

    def finish(self, summary: Summary, following: str = "") -> int:
        """Show the end of a job and return the exit code: 0 all good, 1 some failed, 2 nothing could be done.

        following: the command that is usual next.
        """
        self.close()
        if self._json:
            typer.echo(json.dumps({"summary": True, **asdict(summary)}))
        if not self._quiet and not self._json:
            self._print_table(summary)
        if summary.nothing_done:
            typer.echo(
                f"xfeat: nothing could be done for any of {summary.total} {self._unit}s; the reasons are above",
                err=True,
            )
            return 2
        if following and not self._quiet and not self._json:
            typer.echo(f"next: {following}", err=True)
        return 1 if summary.failures else 0

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print_json(self, report: Report) -> None:
        fields = report.details if "image0" in report.details else {self._unit: report.name, **report.details}
        line = {**fields, "status": report.status.value}
        if report.status is Status.OK:
            line[self._counted] = report.count
        if report.error:
            line["error"] = report.error
        typer.echo(json.dumps(line))

    def _line(self, text: str, always: bool = False) -> None:
        if self._quiet and not always:
            return
        line = one_line(text)
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            typer.echo(line, err=True)

    def _print_table(self, summary: Summary) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(show_header=False, title=escape(summary.output), title_justify="left")
        new = summary.done
        table.add_row(f"{self._unit}s", f"{new} done, {summary.skipped} already there, {len(summary.failures)} failed")
        table.add_row(self._counted, f"{summary.count:,}" + (f" ({summary.count / new:,.0f} each)" if new else ""))
        if summary.turned:
            table.add_row("turned", f"{summary.turned} {self._unit}s, to stand as those that show the same")
        rate = f", {new / summary.seconds:.1f} {self._unit}s/s" if new and summary.seconds else ""
        waited = time.monotonic() - self._born
        starting = f" and {waited - summary.seconds:.1f} s to start" if waited - summary.seconds > _SLOW_START else ""
        table.add_row("time", f"{summary.seconds:.1f} s{rate}{starting}")
        table.add_row("run on", f"{summary.device}, {summary.precision}")
        Console(stderr=True).print(table)


class Closable(Protocol):
    """What shows progress, until it is closed."""

    def close(self) -> None:
        """Take progress off the screen."""


@contextmanager
def interruptible(console: Closable, output: object) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a job in good order: what is done is kept, and the user told how to go on."""
    with advising(f"what is done is kept. The same command goes on with {one_line(str(output))}"):
        try:
            yield
        finally:
            console.close()


def finish_part(console: JobConsole, summary: Summary, shard: str | None, following: str = "") -> int:
    """Behave as `JobConsole.finish`, but a part of a job that has nothing to do is no failure."""
    if shard is not None and summary.total == 0:
        console.close()
        typer.echo(f"xfeat: part {shard} is empty, since the list is shorter than the number of parts", err=True)
        return 0
    return console.finish(summary, following if shard is None else "")
