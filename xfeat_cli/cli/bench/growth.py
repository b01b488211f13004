"""`xfeat bench growth`: how time and memory grow with the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.benchmark.config import Curve, GrowthConfig
from xfeat_cli.cli.options import DeviceOption, PrecisionOption, QuietOption

if TYPE_CHECKING:
    from xfeat_cli.benchmark.growth import GrowthReport

_DEFAULT = GrowthConfig()


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text}: write whole numbers with commas between, as in 10,20,40") from None


def _sizes(flag: str, help_text: str) -> typer.models.OptionInfo:
    return typer.Option(flag, metavar="N,N,…", help=help_text)


def growth(
    only: Annotated[
        list[Curve] | None, typer.Option("--only", help="Measure this curve; may be given several times.")
    ] = None,
    images: Annotated[str, _sizes("--images", "How many images of 640x480, for extract_images.")] = ",".join(
        map(str, _DEFAULT.images)
    ),
    megapixels: Annotated[str, _sizes("--megapixels", "Size of each of 4 images, for extract_size.")] = ",".join(
        map(str, _DEFAULT.megapixels)
    ),
    pairs: Annotated[str, _sizes("--pairs", "How many pairs of 1,024 keypoints an image, for match_pairs.")] = ",".join(
        map(str, _DEFAULT.pairs)
    ),
    keypoints: Annotated[str, _sizes("--keypoints", "Of each of 7 images, for match_keypoints.")] = ",".join(
        map(str, _DEFAULT.keypoints)
    ),
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.")
    ] = _DEFAULT.weights,
    device: DeviceOption = _DEFAULT.device,
    precision: PrecisionOption = _DEFAULT.precision,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Of each point; the fastest counts.")] = _DEFAULT.runs,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Also draw the curves, log-log.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for programs.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Time and peak memory of extract over images and their size, and of match over pairs and keypoints.

    Each point runs in a process of its own; the exponents are those of a least-squares fit of both logarithms over
    the larger half of the sizes.

    Examples:

      xfeat bench growth --plot growth.png

      xfeat bench growth --only match_pairs --pairs 100,600,1500 --json
    """
    from xfeat_cli.benchmark.growth import growth as run
    from xfeat_cli.canvas import check_png

    if plot is not None:
        check_png(plot)
    config = GrowthConfig(
        tuple(only or ()),
        _numbers(images),
        _numbers(megapixels),
        _numbers(pairs),
        _numbers(keypoints),
        weights,
        device,
        precision,
        runs,
    )
    report = run(config, (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True)))
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _print_table(report)
    if plot is not None:
        from xfeat_cli.benchmark.growth_chart import save_growth_chart

        save_growth_chart(report, plot)


def _print_table(report: GrowthReport) -> None:
    from rich.console import Console
    from rich.table import Table

    machine = report.machine
    table = Table(
        title=f"{machine['device']}, {machine['threads']} threads, {machine['precision']}",
        title_justify="left",
        caption="s of the fastest run; MB that the job adds to an idle process, at its peak; size^p: fitted",
        caption_justify="left",
    )
    for column in ("curve", "unit"):
        table.add_column(column)
    for column in ("size", "time s", "memory MB", "process MB"):
        table.add_column(column, justify="right")
    for curve in report.curves:
        for size, cost in zip(curve.sizes, curve.costs, strict=True):
            row = f"{size:g}", f"{cost.seconds:.2f}", f"{cost.working_mb:.0f}", f"{cost.peak_mb:.0f}"
            table.add_row(curve.name, curve.unit, *row)
        table.add_row("", "exponent p", "", f"{curve.time_exponent:.2f}", f"{curve.memory_exponent:.2f}", "")
        table.add_section()
    Console().print(table)
