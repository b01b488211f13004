"""`xfeat inspect FILE.h5`: what is in a file of features or matches."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.options import JsonOption

if TYPE_CHECKING:
    from xfeat_cli.inspection import Inspection

_SHOWN_INCOMPLETE = 10


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Features or matches, of xfeat or of hloc.")],
    as_json: JsonOption = False,
) -> None:
    """Show what an HDF5 file holds: kind, counts, types, what it was made with, incomplete entries.

    Also works on the FILE.h5.partial of a job that has not finished, as of its last commit.

    Example: xfeat inspect out.h5
    """
    from xfeat_cli.inspection import inspect_file

    inspection = inspect_file(file)
    if as_json:
        typer.echo(json.dumps(asdict(inspection)))
    else:
        _print_table(inspection)


def _print_table(inspection: Inspection) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, title=escape(inspection.path), title_justify="left")
    origin = "" if inspection.made_by_xfeat else " (not made by xfeat)"
    table.add_row("kind", inspection.kind + origin)
    if not inspection.finished:
        table.add_row("state", "unfinished: the same command again goes on with it")
    table.add_row(inspection.unit, f"{inspection.entries:,}")
    if inspection.counts is not None and inspection.counted is not None:
        counts = inspection.counts
        table.add_row(
            inspection.counted,
            f"min {counts.min:,}, median {counts.median:,.0f}, max {counts.max:,}, total {counts.total:,}",
        )
    for key, description in inspection.datasets.items():
        table.add_row(escape(key), f"{description} (first of the {inspection.unit})")
    for key, value in inspection.made_with.items():
        table.add_row(escape(key.replace("_", " ")), escape(str(value)))
    table.add_row("size", _size(inspection.size_bytes))
    if inspection.incomplete:
        table.add_row("incomplete", f"{len(inspection.incomplete):,} {inspection.unit}")
        for name, problem in list(inspection.incomplete.items())[:_SHOWN_INCOMPLETE]:
            table.add_row("", escape(f"{name!r} {problem}"))
        if len(inspection.incomplete) > _SHOWN_INCOMPLETE:
            table.add_row("", f"and {len(inspection.incomplete) - _SHOWN_INCOMPLETE:,} more")
    else:
        table.add_row("incomplete", "none")
    Console().print(table)


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
