"""`xfeat colmap`: features and matches → a COLMAP database."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.options import (
    CameraModelOption,
    CameraOption,
    CameraParamsOption,
    CameraPerFolderOption,
    JsonOption,
    OverwriteOption,
    QuietOption,
    SeedOption,
    SingleCameraOption,
    ThreadsOption,
    camera_sharing,
)
from xfeat_cli.sfm.config import CameraConfig, VerificationConfig, parse_params

if TYPE_CHECKING:
    from xfeat_cli.jobs.colmap import ColmapSummary

_CAMERAS, _VERIFICATION = CameraConfig(), VerificationConfig()


def colmap(
    features: Annotated[Path, typer.Argument(metavar="FEATURES.h5", help="Sparse features, or aggregated keypoints.")],
    matches: Annotated[Path, typer.Argument(metavar="MATCHES.h5", help="Matches of these features.")],
    database: Annotated[Path, typer.Argument(metavar="DATABASE.db", help="Database to write.")],
    images: Annotated[
        Path, typer.Option("--images", metavar="IMAGES", help="The folder that image names are relative to.")
    ],
    camera: CameraOption = None,
    camera_model: CameraModelOption = _CAMERAS.model,
    camera_params: CameraParamsOption = None,
    single_camera: SingleCameraOption = False,
    camera_per_folder: CameraPerFolderOption = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also estimate two-view geometries, as mappers need.")
    ] = False,
    filtered_matches: Annotated[
        Path | None,
        typer.Option("--filtered-matches", metavar="FILE", help="Write the verified matches here; implies --verify."),
    ] = None,
    threads: ThreadsOption = _VERIFICATION.threads,
    seed: SeedOption = _VERIFICATION.seed,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a COLMAP database of cameras, images, rigs, frames, keypoints and matches.

    The focal length comes from EXIF where there is one, and so does which images share a camera (--camera). An existing
    database is left alone unless --overwrite. Exit code 0: all good; 1: some images or pairs were left out; 2: nothing
    done.

    Examples:

      xfeat colmap out.h5 matches.h5 new.db --images images/ --single-camera --verify

      xfeat colmap out.h5 matches.h5 new.db --images images/ --filtered-matches inliers.h5
    """
    sharing = camera_sharing(camera, single_camera, camera_per_folder)
    params = None if camera_params is None else parse_params(camera_params)
    if not quiet and not as_json:
        typer.echo(f"loading {features} and {matches} …", err=True)
    from xfeat_cli.jobs.colmap import export_colmap

    summary = export_colmap(
        features,
        matches,
        database,
        images,
        CameraConfig(camera_model, sharing, params),
        verification=VerificationConfig(threads, seed) if verify or filtered_matches is not None else None,
        filtered_matches=filtered_matches,
        overwrite=overwrite,
    )
    for problem in summary.imported.problems:
        typer.echo(f"warning: {problem}", err=True)
    if as_json:
        typer.echo(json.dumps({"summary": True, **asdict(summary)}))
    elif not quiet:
        _print_table(summary)
        mapper = f"colmap mapper --database_path {quote(str(database))} --image_path {quote(str(images))}"
        typer.echo(f"next: {mapper} --output_path sparse", err=True)
    raise typer.Exit(1 if summary.imported.problems else 0)


def _print_table(summary: ColmapSummary) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, title=escape(summary.database), title_justify="left")
    imported, verified = summary.imported, summary.verified
    table.add_row("images", f"{imported.images:,} of {imported.cameras:,} cameras")
    table.add_row("keypoints", f"{imported.keypoints:,}")
    table.add_row("pairs", f"{imported.pairs:,} with {imported.matches:,} matches")
    if verified is not None:
        table.add_row("verified", f"{verified.verified:,} pairs with {verified.inliers:,} inliers")
    if summary.filtered_pairs is not None:
        table.add_row("written back", f"{summary.filtered_pairs:,} pairs")
    table.add_row("left out", f"{len(imported.problems):,}")
    table.add_row("time", f"{summary.seconds:.1f} s")
    Console(stderr=True).print(table)
