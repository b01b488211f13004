"""`xfeat report`: what came of a run, as a page and as figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption, QuietOption
from xfeat_cli.cli.terminal.console import JobConsole


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder of `xfeat sfm`, a COLMAP model or workspace, or of hloc.")
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="The photographs.", show_default="where the run had them"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write.", show_default="OUT_DIR/report"),
    ] = None,
    checks: Annotated[
        list[str] | None,
        typer.Option(
            "--check", metavar="CONDITION", help="A condition on a figure, such as 'registered>=0.95'; repeat for more."
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show whether a reconstruction is good: a page to open (index.html), and the same figures in report.json.

    The page needs no network. Exit code 0: the report was written; 1: a --check does not hold; 2: nothing to report on.
    Figures for --check are those of report.json under "figures": registered (a share), reprojection (px), models,
    components, points, track_length, verified, inlier_ratio, weak_links, gps_median (m) and more.

    Examples:

      xfeat report out/

      xfeat report out/ --check 'registered>=0.95' --check 'reprojection<0.5'

      xfeat report colmap/sparse/0 --images photos/ -o report/
    """
    console = JobConsole("photograph", "pictures", as_json=False, quiet=quiet or as_json, verbose=False)
    console.begin(f"reading {folder}")
    from xfeat_cli.jobs.report import report as run
    from xfeat_cli.report.checks import parse_condition
    from xfeat_cli.report.content import FIGURES

    conditions = [parse_condition(text, FIGURES) for text in checks or []]
    try:
        summary = run(folder, output, images=images, listener=console)
    finally:
        console.close()
    held = {str(condition): condition.holds(summary.figures) for condition in conditions}
    if as_json:
        verdict = summary.data["verdict"]
        typer.echo(json.dumps({"page": summary.page, "verdict": verdict, "figures": summary.figures, "checks": held}))
    elif not quiet:
        _show(summary.data["verdict"], summary.problems)
    for condition in conditions:
        if not as_json and (not quiet or not held[str(condition)]):
            value = summary.figures[condition.figure]
            known = "not known" if value is None else f"{value:.6g}"
            outcome = "holds" if held[str(condition)] else "FAILS"
            typer.echo(f"check {condition}: {outcome} ({condition.figure} is {known})", err=True)
    if not as_json and not quiet:
        typer.echo(f"next: open {summary.page}", err=True)
    raise typer.Exit(0 if all(held.values()) else 1)


def _show(verdict: dict, problems: list[str]) -> None:
    typer.echo(f"{verdict['headline']}. {verdict['sentence']}")
    for step in verdict["next"]:
        typer.echo(f"- {step['text']}" + (f"\n    {step['command']}" if step["command"] else ""))
    for problem in problems[:5]:
        typer.echo(f"warning: {problem}", err=True)
    if len(problems) > 5:
        typer.echo(f"warning: and {len(problems) - 5} more, in the report", err=True)
