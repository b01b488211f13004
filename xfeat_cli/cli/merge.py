"""`xfeat merge`: the pieces that shards wrote → one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption, OverwriteOption, QuietOption, VerboseOption
from xfeat_cli.cli.terminal.console import JobConsole, interruptible


def merge(
    output: Annotated[Path, typer.Argument(metavar="OUT.h5", help="Features or matches file to write.")],
    pieces: Annotated[
        Path | None,
        typer.Option("--pieces", metavar="DIR", show_default="OUT.h5.pieces", help="Folder of the pieces."),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out pieces that are not finished, instead of refusing.")
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make one file of the pieces that `xfeat extract --shard` or `xfeat match --shard` wrote; the pieces stay.

    A run that was interrupted goes on where it stopped. Exit code 0: all good; 1: some pieces are missing; 2: nothing
    done.

    Examples:

      xfeat extract images/ out.h5 --shard 3/16

      xfeat merge out.h5
    """
    console = JobConsole("piece", "entries", as_json=as_json, quiet=quiet, verbose=verbose)
    with interruptible(console, output):
        from xfeat_cli.scale.merge import merge as run

        summary = run(output, pieces, allow_missing=allow_missing, overwrite=overwrite, listener=console)
    raise typer.Exit(console.finish(summary))
