"""`xfeat aggregate`: semi-dense matches → keypoints that all pairs share."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption, OverwriteOption, QuietOption, VerboseOption
from xfeat_cli.cli.terminal.console import JobConsole, interruptible
from xfeat_cli.sfm.config import AggregateConfig

_DEFAULT = AggregateConfig()


def aggregate(
    matches: Annotated[
        Path, typer.Argument(metavar="MATCHES.h5", help="What `xfeat match` made of semi-dense features.")
    ],
    features: Annotated[
        Path, typer.Option("--features", "-f", metavar="FILE", help="The semi-dense features that were matched.")
    ] = Path("out.h5"),
    keypoints: Annotated[
        Path, typer.Option("--keypoints", "-k", metavar="FILE", help="Keypoints file to write.")
    ] = Path("keypoints.h5"),
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Matches file to write.")] = Path(
        "aggregated.h5"
    ),
    radius: Annotated[
        float,
        typer.Option("--radius", metavar="PX", min=0.01, help="Points within it become one keypoint; image pixels."),
    ] = _DEFAULT.radius,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Merge the points of all semi-dense pairs into one set of keypoints per image, as COLMAP needs.

    A run that was interrupted goes on where it stopped. Exit code 0: all good; 1: some pairs failed; 2: nothing done.

    Example: xfeat aggregate matches.h5 --features dense.h5 && xfeat colmap keypoints.h5 aggregated.h5 new.db
    --images images/
    """
    console = JobConsole("pair", "matches", as_json=as_json, quiet=quiet, verbose=verbose)
    console.begin(f"loading {matches}")
    with interruptible(console, output):
        from xfeat_cli.jobs.aggregate import aggregate as run

        summary = run(matches, features, keypoints, output, overwrite=overwrite, listener=console, radius=radius)
    code = console.finish(summary)
    if not quiet and not as_json:
        typer.echo(
            f"{summary.keypoints:,} keypoints in {keypoints}; {summary.kept_share:.1%} of {summary.point_matches:,} "
            f"matches kept, moved by {summary.displacement_px:.2f} px on average",
            err=True,
        )
        files = " ".join(quote(str(path)) for path in (keypoints, output))
        typer.echo(f"next: xfeat colmap {files} database.db --images IMAGES --verify", err=True)
    raise typer.Exit(code)
