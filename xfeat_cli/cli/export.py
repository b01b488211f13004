"""`xfeat export`: a COLMAP model as files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import QuietOption

_Target = Path | None


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A COLMAP model folder, such as out/sparse/0.")],
    ply: Annotated[_Target, typer.Option("--ply", metavar="FILE.ply", help="Points with their colours.")] = None,
    nerfstudio: Annotated[
        _Target,
        typer.Option("--nerfstudio", metavar="transforms.json", help="For nerfstudio and 3-D Gaussian splatting."),
    ] = None,
    bundler: Annotated[
        _Target, typer.Option("--bundler", metavar="bundle.out", help="Bundler's file, and FILE.list.txt beside it.")
    ] = None,
    cameras: Annotated[
        _Target,
        typer.Option("--cameras", metavar="cameras.json", help="K, R, t by image name, no distortion."),
    ] = None,
    rerun: Annotated[
        _Target, typer.Option("--rerun", metavar="FILE.rrd", help="A recording for rerun (extra [rerun]).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="The photographs that transforms.json is to name.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a reconstruction for other programs. All files are in the model's own frame, so they fit one another.

    Example: xfeat export out/sparse/0 --ply points.ply --nerfstudio transforms.json --images photos/
    """
    from xfeat_cli.sfm.export import ExportTargets, export_model

    targets = ExportTargets(ply=ply, nerfstudio=nerfstudio, bundler=bundler, cameras=cameras, rerun=rerun)
    written = export_model(model, targets, images)
    if not quiet:
        for path in written:
            typer.echo(path)
