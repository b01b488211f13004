"""`xfeat eval sfm`: a reconstruction against known cameras."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption


def sfm(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A COLMAP model folder, such as out/sparse/0.")],
    cameras: Annotated[
        Path, typer.Argument(metavar="CAMERAS.json", help="True K, R, t (world to camera) by image name.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Compare a reconstruction with known cameras, after aligning it to them by a similarity.

    Example: xfeat eval sfm out/sparse/0 courtyard/cameras.json
    """
    from xfeat_cli.evaluation.sfm import score_model

    score = score_model(model, cameras)
    if as_json:
        typer.echo(json.dumps(asdict(score)))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, title=escape(str(model)), title_justify="left")
    table.add_row("registered", f"{score.registered} of {score.images} images")
    too_few = "not known: fewer than 3 images registered"
    rotation, position = score.rotation_deg_mean, score.position_error_mean
    table.add_row("mean rotation error", too_few if rotation is None else f"{rotation:.4f}°")
    table.add_row("mean position error", too_few if position is None else f"{position:.6g} (unit of {cameras.name})")
    table.add_row("points", f"{score.points:,}")
    table.add_row("mean track length", f"{score.mean_track_length:.2f}")
    table.add_row("reprojection error", f"{score.reprojection_px:.3f} px")
    Console().print(table)
