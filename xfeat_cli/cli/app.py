"""The `xfeat` command: one typer app, one file per command. Nothing here imports torch, numpy or h5py."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from xfeat_cli.cli import (
    aggregate,
    colmap,
    demo,
    doctor,
    export,
    export_model,
    extract,
    frames,
    inspect,
    localize,
    map,
    match,
    merge,
    pairs,
    refine,
    report,
    train,
    view,
    weights,
)
from xfeat_cli.cli.bench import speed as bench
from xfeat_cli.cli.evaluate import app as evaluate
from xfeat_cli.cli.help import App
from xfeat_cli.cli.sfm import command as sfm
from xfeat_cli.cli.terminal import interrupts, log
from xfeat_cli.cli.terminal.wording import in_options
from xfeat_cli.errors import XFeatError, one_line
from xfeat_cli.version import __version__

app = App(
    name="xfeat",
    no_args_is_help=True,
    help="Local features and matches for structure-from-motion, from folders of photographs.",
)
_COMMANDS: dict[str, dict[str, Any]] = {
    "From photographs to a model": {
        "sfm": sfm.sfm,
        "frames": frames.frames,
        "extract": extract.extract,
        "pairs": pairs.app,
        "match": match.match,
        "match-pairs": match.match,
        "refine": refine.refine,
        "aggregate": aggregate.aggregate,
        "merge": merge.merge,
        "colmap": colmap.colmap,
        "map": map.map_,
        "localize": localize.localize,
    },
    "See and judge": {
        "report": report.report,
        "view": view.view,
        "inspect": inspect.inspect,
        "doctor": doctor.doctor,
        "export": export.export,
        "eval": evaluate.app,
        "bench": bench.app,
    },
    "Weights": {"weights": weights.app, "train": train.train, "export-model": export_model.export_model},
    "Try": {"demo": demo.demo},
}
"""Heading of the help page → the commands under it, in their order."""

for _panel, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, App):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            _same = {"help": "The same as `match`."} if _name == "match-pairs" else {}
            app.command(_name, rich_help_panel=_panel, **_same)(_command)


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
