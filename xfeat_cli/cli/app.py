"""The `xfeat` command: one typer app, one file per command. Nothing here imports torch, numpy or h5py."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli import (
    aggregate,
    bench,
    colmap,
    demo,
    doctor,
    eval_homography,
    eval_localization,
    eval_mirror,
    eval_pairs,
    eval_pose_pairs,
    eval_sfm,
    eval_sift,
    eval_uncertainty,
    eval_warps,
    evaluate,
    export,
    export_model,
    extract,
    frames,
    inspect,
    interrupts,
    localize,
    log,
    map,
    match,
    merge,
    pair_kinds,
    pairs,
    refine,
    report,
    sfm,
    train,
    view,
    weights,
)
from xfeat_cli.cli.help import App
from xfeat_cli.cli.wording import in_options
from xfeat_cli.errors import XFeatError, one_line
from xfeat_cli.version import __version__

app = App(
    name="xfeat",
    no_args_is_help=True,
    help="Local features and matches for structure-from-motion, from folders of photographs.",
)
app.command("extract")(extract.extract)
app.command("frames")(frames.frames)
app.command("match")(match.match)
app.command("match-pairs", help="The same as `match`.")(match.match)
for _kind in (pair_kinds.retrieval, pair_kinds.spatial, pair_kinds.poses, pair_kinds.covisibility, pair_kinds.union):
    pairs.app.command()(_kind)
app.add_typer(pairs.app, name="pairs")
app.command("refine")(refine.refine)
app.command("merge")(merge.merge)
app.command("aggregate")(aggregate.aggregate)
app.command("colmap")(colmap.colmap)
app.command("map")(map.map_)
app.command("sfm")(sfm.sfm)
app.command("localize")(localize.localize)
app.command("train")(train.train)
app.command("export-model")(export_model.export_model)
app.command("inspect")(inspect.inspect)
app.command("view")(view.view)
app.command("report")(report.report)
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.add_typer(bench.app, name="bench")
evaluate.app.command("sfm")(eval_sfm.sfm)
evaluate.app.command("pairs")(eval_pairs.pairs)
evaluate.app.command("sift")(eval_sift.sift)
evaluate.app.command("homography")(eval_homography.homography)
evaluate.app.command("hpatches")(eval_homography.hpatches)
evaluate.app.command("localization")(eval_localization.localization)
evaluate.app.command("megadepth1500")(eval_pose_pairs.megadepth1500)
evaluate.app.command("scannet1500")(eval_pose_pairs.scannet1500)
evaluate.app.command("imc")(eval_pose_pairs.imc)
evaluate.app.command("mirror")(eval_mirror.mirror)
evaluate.app.command("uncertainty")(eval_uncertainty.uncertainty)
evaluate.app.command("warps")(eval_warps.warps)
app.add_typer(evaluate.app, name="eval")
app.add_typer(weights.app, name="weights")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: also say what computes on this machine.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="FILE", envvar="XFEAT_LOG", help="Keep what goes to stderr here too, with times."
        ),
    ] = None,
) -> None:
    if log_file is not None:
        log.start(log_file)
    if version:
        typer.echo(f"xfeat {__version__}")
        if verbose:
            _print_libraries()
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.fail("give a command; `xfeat --help` lists them")


def _print_libraries() -> None:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    from xfeat_cli.native.library import level

    typer.echo(f"native library: {level()}")
    for package in ("torch", "openvino", "opencv-python", "pycolmap"):
        try:
            typer.echo(f"{package}: {version_of(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package}: not installed")


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 2."""
    # Threads that spin while they wait make every job on a busy machine several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupts.install()
    _show_warnings()
    try:
        app(prog_name="xfeat")
    except XFeatError as error:
        typer.secho(f"xfeat: {in_options(str(error))}", err=True, fg="red" if sys.stderr.isatty() else None)
        sys.exit(2)
    except interrupts.Interrupted as interrupted:
        interrupts.say()
        sys.exit(interrupted.exit_code)
    finally:
        interrupts.ending()


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return in_options(one_line(f"{record.levelname.lower()}: {record.getMessage()}"))


def _show_warnings() -> None:
    """What the library logs goes to stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logger = logging.getLogger("xfeat_cli")
    logger.addHandler(handler)
    logger.propagate = False
