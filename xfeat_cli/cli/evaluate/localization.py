"""`xfeat eval localization`: poses of `xfeat localize` against known cameras."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption


def localization(
    poses: Annotated[Path, typer.Argument(metavar="POSES.csv", help="What `xfeat localize` wrote.")],
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model that it used.")],
    cameras: Annotated[
        Path, typer.Argument(metavar="CAMERAS.json", help="True K, R, t of the queries and of the model's images.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Measure the errors of localised photographs, after aligning the model to the true cameras by a similarity.

    Example: xfeat eval localization poses.csv out/sparse/0 scene/cameras.json
    """
    from xfeat_cli.evaluation.localization import RECALLS, score_localization

    score = score_localization(poses, model, cameras)
    if as_json:
        typer.echo(json.dumps({**asdict(score), "thresholds": RECALLS}))
        return
    typer.echo(f"localised {score.localised} of {score.queries}")
    typer.echo(f"median error {score.position_median:.4g} (unit of {cameras.name}), {score.rotation_deg_median:.3g}°")
    for (far, turned), recall in zip(RECALLS, score.recalls, strict=True):
        typer.echo(f"within {far:g} and {turned:g}°: {recall:5.1f} %")
