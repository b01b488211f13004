"""`xfeat eval pose`: relative poses from a matches file, against known cameras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption


def pose(
    cameras: Annotated[Path, typer.Argument(metavar="CAMERAS.json", help="K, R, t (world-to-camera), size by image.")],
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS.txt", help="The pairs to measure.")],
    matches: Annotated[Path, typer.Option("--matches", "-m", metavar="FILE", help="What `xfeat match` wrote.")] = Path(
        "matches.h5"
    ),
    features: Annotated[
        Path | None, typer.Option("--features", "-f", metavar="FILE", help="The features, when matches are indices.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="RANSAC runs to average.")] = 5,
    weighted: Annotated[
        bool,
        typer.Option(
            "--weighted/--unweighted",
            help="Adjust each pose to the sigmas of its matches, if there are any.",
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Measure relative-pose AUC at 0.25 to 20 degrees, and the share of matches near their epipolar line.

    Example: xfeat eval pose scene/cameras.json scene/pairs.txt -f out.h5 -m matches.h5
    """
    from dataclasses import asdict

    from xfeat_cli.evaluation.pose import THRESHOLDS, evaluate_poses

    result = evaluate_poses(cameras, pairs, matches, features, seeds, weighted=weighted)
    if as_json:
        typer.echo(json.dumps({"thresholds": THRESHOLDS, **asdict(result)}))
        return
    typer.echo(f"pairs {result.pairs}, RANSAC seeds {result.seeds}, {result.matches:.0f} matches a pair")
    for threshold, area, spread in zip(THRESHOLDS, result.auc, result.auc_std, strict=True):
        typer.echo(f"AUC@{threshold:<5g} {area:5.1f} ± {spread:.1f}")
    typer.echo(f"precision {result.precision:5.1f}")
