"""`xfeat eval pairs`: a list of pairs against the pairs that overlap."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption


def pairs(
    listed: Annotated[Path, typer.Argument(metavar="PAIRS.txt", help="The list to measure.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUE_PAIRS.txt", help="The pairs that truly overlap.")],
    as_json: JsonOption = False,
) -> None:
    """Count how many of the pairs that truly overlap a list holds, against matching every image with every other.

    Example: xfeat eval pairs alike.txt scene/pairs.txt
    """
    from xfeat_cli.evaluation.pairs import score_pairs

    score = score_pairs(listed, truth)
    if as_json:
        typer.echo(json.dumps(asdict(score)))
        return
    share = score.pairs / score.exhaustive
    typer.echo(f"recall {score.recall:.3f} of {score.true_pairs:,} true pairs")
    for folder, recall in score.by_folder.items() if len(score.by_folder) > 1 else ():
        typer.echo(f"  {folder} {recall:.3f}")
    typer.echo(f"precision {score.precision:.3f} of {score.pairs:,} pairs, {share:.1%} of all {score.exhaustive:,}")
