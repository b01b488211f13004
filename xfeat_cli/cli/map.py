"""`xfeat map DATABASE OUT_DIR`: a verified COLMAP database → models."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import (
    JsonOption,
    MapperOption,
    QuietOption,
    RefinePrincipalPointOption,
    SeedOption,
    ThreadsOption,
)
from xfeat_cli.cli.sfm.progress import SfmProgress
from xfeat_cli.cli.sfm.table import print_table
from xfeat_cli.cli.terminal.console import interruptible
from xfeat_cli.sfm.config import MappingConfig

_DEFAULT = MappingConfig()


def map_(
    database: Annotated[
        Path, typer.Argument(metavar="DATABASE.db", help="With verified pairs: `xfeat colmap --verify`, or COLMAP's.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder for the models 0, 1, …")],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", metavar="IMAGES", show_default="none", help="The photographs, which give points their colours."
        ),
    ] = None,
    mapper: MapperOption = _DEFAULT.mapper,
    refine_principal_point: RefinePrincipalPointOption = _DEFAULT.refine_principal_point,
    threads: ThreadsOption = _DEFAULT.threads,
    seed: SeedOption = _DEFAULT.seed,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Map a database that is there, of xfeat or of COLMAP: OUT_DIR/0 is the largest model.

    Photographs that have nothing in common are mapped apart, and those that get no pose are named with the likely
    reason. An OUT_DIR that xfeat did not make is left alone. Exit code 0: all good; 1: some photographs have no pose;
    2: no model.

    Example: xfeat map new.db models/ --images photos/ --mapper global
    """
    started = time.monotonic()
    progress = SfmProgress(quiet=quiet, verbose=False)
    with interruptible(progress, output):
        from xfeat_cli.jobs.mapping import map_models

        summary = map_models(
            database,
            output,
            images,
            MappingConfig(mapper, refine_principal_point, threads, seed),
            listener=progress.stage("reconstruct"),
        )
        progress.close()
    if as_json:
        typer.echo(json.dumps({"summary": True, **asdict(summary)}))
    elif not quiet:
        print_table(summary, time.monotonic() - started)
    raise typer.Exit(1 if summary.problems else 0)
