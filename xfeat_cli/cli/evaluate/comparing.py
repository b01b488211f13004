"""What the benchmarks of `xfeat eval` share: their options, their progress, and how they report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xfeat_cli.evaluation.scores import Row

_PLAIN_LINE_SECONDS = 10.0

OutputOption = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="OUT_DIR", help="For tables, chart and features, which the next run uses again."
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="METHOD",
        show_default="all that there are weights for",
        help="sparse, semi-dense or lighterglue; repeat it for several.",
    ),
]
AgainstOption = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="sift|orb|NAME|PATH",
        help="Also measure OpenCV's RootSIFT or ORB, or other weights; repeat it for several.",
    ),
]
WeightsOption = Annotated[str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.")]
TopKOption = Annotated[
    int | None,
    typer.Option(
        "--top-k", min=1, show_default="4096, semi-dense 10000", help="Most features of an image, for every method."
    ),
]
ResizeOption = Annotated[
    int, typer.Option("--resize", min=0, metavar="PX", help="Longest side that every method sees; 0 = as it is.")
]
MinCossimOption = Annotated[
    float | None,
    typer.Option(
        "--min-cossim", min=-1, max=1, show_default="as the weights ask", help="Least cosine of a sparse match."
    ),
]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Runs of the robust estimator to average.")]


class Progress:
    """Bars on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._what, self._total, self._done = "", 0, 0
        self._last_line = time.monotonic()

    def start(self, what: str, total: int) -> None:
        self.close()
        self._what, self._total, self._done = what, total, 0
        if sys.stderr.isatty() and not self._quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=what, dynamic_ncols=True, leave=False, file=sys.stderr)

    def step(self, name: str) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        elif not self._quiet and time.monotonic() - self._last_line > _PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            typer.echo(f"{self._what}: {self._done}/{self._total}, {name}", err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def report(
    measure: Callable[[Progress], tuple[list[Row], dict[str, Any]]], output: Path, as_json: bool, quiet: bool
) -> None:
    """Measure, and show the rows as a table, or one JSON object each. Ctrl-C keeps the features made so far."""
    progress = Progress(quiet)
    try:
        rows, settings = measure(progress)
    except KeyboardInterrupt:
        typer.echo(f"xfeat: interrupted; the features made so far are kept in {output}", err=True)
        raise typer.Exit(130) from None
    finally:
        progress.close()
    if as_json:
        for row in rows:
            typer.echo(json.dumps({**asdict(row), "settings": settings}))
    elif not quiet:
        _print_table(rows, settings, output)


def _print_table(rows: list[Row], settings: dict[str, Any], output: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xfeat_cli.evaluation.chart import pair_milliseconds
    from xfeat_cli.evaluation.scores import ALL

    families = _families(list(rows[0].values))
    table = Table(title=escape(str(settings["benchmark"])), title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("method", no_wrap=True)
    for heading in (*families, "matches", "ms"):
        table.add_column(f"  {heading}", justify="right", no_wrap=True)
    for row in rows:
        figures = (" ".join(f"{row.values[name]:5.1f}" for name in names) for names in families.values())
        name = row.method if row.part == ALL else f"  {row.part}"
        table.add_row(escape(name), *figures, f"{row.matches:.0f}", f"{pair_milliseconds(row):.0f}")
    console = Console()
    console.print(table)
    stated = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "benchmark")
    console.print(f"{stated}; ms: two images and their matching, one thread", highlight=False, markup=False)
    console.print(f"results.csv, pairs.csv, settings.json and chart.png are in {output}", highlight=False, markup=False)


def _families(names: list[str]) -> dict[str, list[str]]:
    """Map headings → the figures under them: those that differ in their threshold alone share one."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition("@")[0], []).append(name)
    return {_heading(family, members): members for family, members in families.items()}


def _heading(family: str, members: list[str]) -> str:
    thresholds = [name.partition("@")[2] for name in members]
    unit = thresholds[0].lstrip("0123456789.")
    return f"{family} {'/'.join(at.removesuffix(unit) for at in thresholds)}{unit}" if thresholds[0] else family
