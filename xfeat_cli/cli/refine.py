"""`xfeat refine`: features, matches and photographs → the same, registered photometrically."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xfeat_cli.cli.help import HARDWARE, MATCHING
from xfeat_cli.cli.options import JsonOption, OverwriteOption, QuietOption, VerboseOption
from xfeat_cli.cli.terminal.console import JobConsole, interruptible
from xfeat_cli.config import RefineConfig

_DEFAULT = RefineConfig()


def refine(
    features: Annotated[
        Path,
        typer.Argument(
            metavar="FEATURES.h5", help="What `xfeat extract` (sparse) or `xfeat aggregate` wrote, or hloc."
        ),
    ],
    matches: Annotated[Path, typer.Argument(metavar="MATCHES.h5", help="Their matches, as indices.")],
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="Folder that image names are relative to.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Keypoints file to write.")] = Path(
        "refined.h5"
    ),
    output_matches: Annotated[
        Path, typer.Option("--output-matches", metavar="FILE", help="Matches file to write.")
    ] = Path("refined-matches.h5"),
    links: Annotated[
        Path | None,
        typer.Option(
            "--links",
            metavar="FILE",
            show_default="removed at the end",
            help="Keep what registration says of each pair, so that a later run with more pairs registers only those.",
        ),
    ] = None,
    resize: Annotated[
        int,
        typer.Option(
            "--resize",
            min=0,
            metavar="PX",
            help="Longest side of the images that are registered; 0 = never reduce.",
            rich_help_panel=MATCHING,
        ),
    ] = _DEFAULT.resize,
    least_refined: Annotated[
        int,
        typer.Option(
            "--least-refined",
            min=0,
            metavar="N",
            help="A pair with fewer matches that agree with the others keeps all its matches.",
            rich_help_panel=MATCHING,
        ),
    ] = _DEFAULT.least_refined,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=0, metavar="N", help="Pairs registered at once; 0 = all cores.", rich_help_panel=HARDWARE
        ),
    ] = _DEFAULT.workers,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Move each keypoint once, to where the photographs of all its pairs agree, and keep the matches that agree.

    Each keypoint gets an uncertainty, each match a sigma. Pairs of wide baselines, of which little can be registered,
    keep all their matches as they are.

    A run that was interrupted goes on where it stopped. Exit code 0: all good; 1: some pairs failed; 2: nothing done.

    Example:

      xfeat refine out.h5 matches.h5 --images images/ -o refined.h5 --output-matches refined-matches.h5
    """
    options: dict[str, Any] = {"links": links, "resize": resize, "least_refined": least_refined, "workers": workers}
    files = features, matches, images, output, output_matches
    raise typer.Exit(refine_matches(*files, overwrite, as_json, quiet, verbose, **options))


def refine_matches(
    features: Path,
    matches: Path,
    images: Path,
    output: Path,
    output_matches: Path,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Refine, show how it goes, and return the exit code. options: as of the job."""
    console = JobConsole("pair", "registered", as_json=as_json, quiet=quiet, verbose=verbose)
    with interruptible(console, output_matches):
        from xfeat_cli.jobs.refine import refine as run

        summary = run(
            features,
            matches,
            images,
            output,
            output_matches,
            overwrite=overwrite,
            listener=console,
            **options,
        )
    code = console.finish(summary)
    if summary.pairs and not quiet and not as_json:
        typer.echo(
            f"{summary.kept_matches:,} of {summary.matches:,} matches in {output_matches}; "
            f"{summary.refined_pairs:,} of {summary.pairs:,} pairs refined; keypoints in {output} moved "
            f"{summary.moved_px:.2f} px on average, uncertainty {summary.uncertainty_px:.2f} px",
            err=True,
        )
    return code
