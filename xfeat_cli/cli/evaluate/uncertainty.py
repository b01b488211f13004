"""`xfeat eval uncertainty`: whether the uncertainties of refined keypoints are true."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption


def uncertainty(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A COLMAP model folder, such as out/sparse/0.")],
    keypoints: Annotated[
        Path, typer.Argument(metavar="REFINED.h5", help="What `xfeat refine` wrote and the model was made of.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Measure the reprojection residuals of a model in units of its keypoints' uncertainties: their spread ought to
    be 1.

    Example: xfeat eval uncertainty out/sparse/0 out/refined.h5
    """
    from xfeat_cli.evaluation.uncertainty import OUTLIER, score_uncertainty

    score = score_uncertainty(model, keypoints)
    if as_json:
        typer.echo(json.dumps(asdict(score)))
        return
    typer.echo(
        f"{score.observations:,} observations of points seen three times or more: standard deviation of z "
        f"{score.spread:.2f}, robust {score.robust_spread:.2f}; {score.outliers:.1%} beyond {OUTLIER:g}, left out"
    )
    for band in score.bands:
        typer.echo(
            f"  uncertainty {band.least:.3f} to {band.most:.3f} px: {band.observations:,}, standard deviation "
            f"{band.spread:.2f}, robust {band.robust_spread:.2f}"
        )
