"""`xfeat bench`: how fast this machine runs xfeat, beside the authors' code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.benchmark.config import BenchConfig, Measurement
from xfeat_cli.cli.bench.growth import growth
from xfeat_cli.cli.help import App
from xfeat_cli.cli.options import BackendOption, DeviceOption, GridsOption, PrecisionOption, QuietOption

if TYPE_CHECKING:
    from xfeat_cli.benchmark.report import BenchReport

_DEFAULT = BenchConfig()

_LEGEND = (
    "ms for one image or pair, medians; ceiling: share of what a matrix product reaches; as fp32: keypoints or matches "
    "that float32 in torch finds too, and the cosine of their descriptors"
)

app = App(invoke_without_command=True)
app.command("growth")(growth)


@app.callback()
def bench(
    context: typer.Context,
    only: Annotated[
        list[Measurement] | None, typer.Option("--only", help="Make this measurement; may be given several times.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", show_default="a rendered scene", help="Photographs to measure with."),
    ] = _DEFAULT.images,
    most_images: Annotated[
        int, typer.Option("--most-images", min=2, help="Use the first so many of the folder.")
    ] = _DEFAULT.most_images,
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.")
    ] = _DEFAULT.weights,
    resize: Annotated[
        int, typer.Option("--resize", min=0, metavar="PX", help="Longest side the network sees, in extract_folder.")
    ] = _DEFAULT.resize,
    grids: GridsOption = _DEFAULT.grids,
    device: DeviceOption = _DEFAULT.device,
    precision: PrecisionOption = _DEFAULT.precision,
    backend: BackendOption = _DEFAULT.backend,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            min=0,
            show_default="one a core",
            help="On a CPU: threads of each operation of the reference path, images at once of the default path.",
        ),
    ] = _DEFAULT.threads,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, help="Least time for one measurement.")
    ] = _DEFAULT.seconds,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Least runs of each path.")] = _DEFAULT.runs,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Also draw the ratios as a bar chart.")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Measure instead which precision and library are fastest on this CPU, and let `auto` mean them.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for programs.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Time the default path against the authors' way (eager fp32, one image at a time), in turns, medians.

    The share of the ceiling is that of what a large matrix product reaches on this machine in the same precision. With
    sparse_1200x800 go OpenCV's SIFT and, if kornia is installed, kornia's XFeat.

    Examples:

      xfeat bench

      xfeat bench --images photos/ --only extract_folder --json

      xfeat bench --calibrate

      xfeat bench growth --plot growth.png
    """
    if context.invoked_subcommand is not None:
        return
    if calibrate:
        _calibrate(weights, as_json)
        return
    from xfeat_cli.benchmark.run import bench as run

    config = BenchConfig(
        tuple(only or ()),
        images,
        most_images,
        weights,
        device,
        precision,
        backend,
        resize,
        grids,
        threads,
        seconds,
        runs,
    )
    report = run(config, (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True)))
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _print_tables(report)
    if plot is not None:
        from xfeat_cli.benchmark.chart import save_chart

        save_chart(report, plot)


def _calibrate(weights: str, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from xfeat_cli.model import calibration
    from xfeat_cli.model.weights import load

    timings = calibration.calibrate(load(weights))
    chosen = calibration.fastest_of_all(timings)
    if as_json:
        typer.echo(json.dumps({"milliseconds": timings, "chosen": str(chosen)}))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("precision, library")
    table.add_column("ms of a core for 640x480", justify="right")
    table.add_column("")
    for way, taken in timings.items():
        table.add_row(way, f"{taken:.1f}", "auto" if way == str(chosen) else "")
    Console().print(table)


def _print_tables(report: BenchReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    machine = report.machine
    console.print(
        f"{machine['device']}, {machine['threads']} threads, {machine['precision']}, {machine['backend']}, "
        f"ceiling {machine['ceiling_gflops']:,.0f} GFLOP/s"
    )
    table = Table(box=None, pad_edge=False, caption=_LEGEND, caption_justify="left")
    table.add_column("measurement", no_wrap=True)
    for column in ("authors", "ours", "ratio", "ceiling", "runs", "as fp32", "cosine"):
        table.add_column(column, justify="right")
    for result in report.results:
        same = report.agreement.get(result.name)
        table.add_row(
            result.name,
            f"{result.reference_ms:.1f}",
            f"{result.default_ms:.1f}",
            f"{result.ratio:.2f}",
            f"{100 * result.ceiling_share:.0f} %",
            str(report.runs[result.name]),
            f"{100 * same.shared:.2f} %" if same else "",
            f"{same.cosine:.5f}" if same else "",
        )
    console.print(table)
    if report.alternatives:
        table = Table(box=None, pad_edge=False)
        table.add_column("instead", no_wrap=True)
        for column in ("theirs", "ours", "ratio"):
            table.add_column(column, justify="right")
        for other in report.alternatives:
            table.add_row(other.name, f"{other.alternative_ms:.1f}", f"{other.default_ms:.1f}", f"{other.ratio:.2f}")
        console.print(table)
    for name, split in report.split.items():
        total = split["total"]
        parts = (f"{stage} {100 * taken / total:.0f} %" for stage, taken in split.items() if stage != "total")
        console.print(
            f"{name}: {total:.2f} s, of which {', '.join(parts)} (of each worker; writing has a thread of its own)"
        )
