"""`xfeat localize`: new photographs in a model that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import DeviceOption, JsonOption, QuietOption, VerboseOption
from xfeat_cli.cli.terminal.console import JobConsole, interruptible
from xfeat_cli.localization.config import LocalizeConfig

_DEFAULT = LocalizeConfig()


def localize(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A COLMAP model folder, such as out/sparse/0.")],
    features: Annotated[
        Path, typer.Argument(metavar="FEATURES.h5", help="The sparse features that the model was made of.")
    ],
    queries: Annotated[Path, typer.Argument(metavar="QUERIES", help="Folder of photographs, or one photograph.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Table to write; the poses' text stands beside it, .txt."),
    ] = Path("poses.csv"),
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            show_default="the images that look most alike",
            help="`query image` a line: the model's images that each query is matched with.",
        ),
    ] = None,
    retrieved: Annotated[
        int, typer.Option("--num", min=1, help="How many of the model's images a query is matched with.")
    ] = _DEFAULT.retrieved,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera",
            metavar="MODEL,NUMBERS",
            show_default="the model's of that size, else EXIF, else several focal lengths",
            help="Of the queries, as COLMAP states it: PINHOLE,fx,fy,cx,cy.",
        ),
    ] = None,
    min_cossim: Annotated[
        float | None,
        typer.Option("--min-cossim", min=-1, max=1, show_default="as the weights ask", help="Least cosine of a match."),
    ] = _DEFAULT.min_cossim,
    max_error: Annotated[
        float,
        typer.Option(
            "--max-error",
            metavar="PX",
            help="Largest reprojection error of an inlier, for 640 px; larger in proportion.",
        ),
    ] = _DEFAULT.max_error,
    min_inliers: Annotated[
        int, typer.Option("--min-inliers", min=4, help="With fewer a query is not localised.")
    ] = _DEFAULT.min_inliers,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Never match a query with the model's image of the same name.")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="NAME|PATH", show_default="those that the features name", help="Where they are."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the robust estimator.")] = _DEFAULT.seed,
    device: DeviceOption = _DEFAULT.device,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find where new photographs were taken, in a model that is there.

    Each query is extracted as the model's images were, matched with those that look most like it, and its pose
    estimated from the model's points that it shows. Exit code 0: all localised; 1: some not; 2: none.

    Example: xfeat localize out/sparse/0 out/features.h5 new-photos/ -o poses.csv
    """
    console = JobConsole("image", "inliers", as_json=as_json, quiet=quiet, verbose=verbose)
    with interruptible(console, output):
        from xfeat_cli.jobs.localize import localize as run

        summary = run(
            model,
            features,
            queries,
            output,
            LocalizeConfig(retrieved, min_cossim, max_error, min_inliers, seed, device),
            pairs=pairs,
            camera=camera,
            weights=weights,
            leave_out=leave_out,
            listener=console,
        )
    raise typer.Exit(console.finish(summary))
