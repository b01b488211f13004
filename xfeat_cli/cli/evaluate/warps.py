"""`xfeat eval warps`: the accuracy of weights on warped photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import DeviceOption, JsonOption, MinConfidenceOption
from xfeat_cli.cli.train import describe
from xfeat_cli.config import MatchConfig
from xfeat_cli.training.config import TrainConfig

_TRAINING, _MATCHING = TrainConfig(), MatchConfig()


def warps(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTOS...", help="Folders of photographs.")],
    weights: Annotated[
        list[str] | None, typer.Option("--weights", metavar="NAME|PATH", help="Repeat it to compare several.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="Pairs of views to measure.")] = 200,
    held_out: Annotated[
        int | None,
        typer.Option(
            "--held-out",
            min=1,
            help="Only those photographs that `xfeat train` with this --held-out learns nothing from.",
        ),
    ] = None,
    min_confidence: MinConfidenceOption = _MATCHING.min_confidence,
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0)] = _TRAINING.seed,
    as_json: JsonOption = False,
) -> None:
    """Measure matching accuracy, repeatability and localisation under strong synthetic change: rotation to 30
    degrees, scale to 1.6, perspective, light, blur, noise, JPEG. Every weights file sees the same pairs.

    Example: xfeat eval warps photos/ --held-out 32 --weights default --weights official
    """
    from dataclasses import asdict

    from xfeat_cli.config import Precision
    from xfeat_cli.evaluation.warps import evaluate_warps
    from xfeat_cli.model.runtime import Runtime
    from xfeat_cli.model.weights import load
    from xfeat_cli.training.photos import load_photos, split_held_out

    loaded = [load(name) for name in weights or ["default"]]
    found = load_photos(
        photos, _TRAINING.photo_size, _TRAINING.max_photos, seed, lambda text: typer.echo(text, err=True)
    )
    if held_out is not None:
        _, found = split_held_out(found, held_out, seed)
    chosen = [found[name] for name in sorted(found)]
    for one in loaded:
        accuracy = evaluate_warps(Runtime(one, device, Precision.FP32), chosen, pairs, seed, min_confidence)
        if as_json:
            typer.echo(json.dumps({"weights": one.info.name, "sha256": one.info.sha256, **asdict(accuracy)}))
        else:
            typer.echo(f"{one.info.name}: {accuracy.pairs} pairs, {describe(accuracy)}")
