"""`xfeat eval sift`: the same photographs reconstructed by COLMAP's own SIFT, to compare with."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import (
    CameraModelOption,
    CameraOption,
    CameraPerFolderOption,
    JsonOption,
    MapperOption,
    OverwriteOption,
    QuietOption,
    RefinePrincipalPointOption,
    SeedOption,
    SingleCameraOption,
    ThreadsOption,
    camera_sharing,
)
from xfeat_cli.cli.sfm.table import print_table
from xfeat_cli.sfm.config import CameraConfig, MappingConfig, SfmConfig, VerificationConfig

_DEFAULT = SfmConfig()


def sift(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of photographs (walked recursively).")],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder for the database and the model.")],
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="PAIRS.txt",
            show_default="every image with every other",
            help="Which images are matched, such as pairs.txt of an `xfeat sfm`.",
        ),
    ] = None,
    mapper: MapperOption = _DEFAULT.mapping.mapper,
    camera: CameraOption = None,
    single_camera: SingleCameraOption = False,
    camera_per_folder: CameraPerFolderOption = False,
    camera_model: CameraModelOption = _DEFAULT.cameras.model,
    refine_principal_point: RefinePrincipalPointOption = _DEFAULT.mapping.refine_principal_point,
    threads: ThreadsOption = _DEFAULT.mapping.threads,
    seed: SeedOption = _DEFAULT.mapping.seed,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Reconstruct photographs with COLMAP's SIFT and its defaults on the CPU, to compare with XFeat.

    Verification and mapper are those of `xfeat sfm`, and PAIRS.txt can be; `xfeat eval sfm` then scores both models.

    Example: xfeat eval sift images/ sift/ --pairs out/pairs.txt --single-camera
    """
    sharing = camera_sharing(camera, single_camera, camera_per_folder)
    started = time.monotonic()
    from xfeat_cli.jobs.sift import reconstruct_with_sift

    summary = reconstruct_with_sift(
        images,
        output,
        pairs,
        SfmConfig(
            cameras=CameraConfig(camera_model, sharing),
            verification=VerificationConfig(threads, seed),
            mapping=MappingConfig(mapper, refine_principal_point, threads, seed),
        ),
        overwrite=overwrite,
        started=None if quiet else lambda stage: typer.echo(f"{stage} …", err=True),
    )
    if as_json:
        typer.echo(json.dumps({"summary": True, **asdict(summary)}))
    elif not quiet:
        print_table(summary, time.monotonic() - started)
    raise typer.Exit(1 if summary.problems else 0)
