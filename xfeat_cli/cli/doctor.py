"""`xfeat doctor FILE…`: what is wrong with features, matches, databases, models, lists and photographs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import JsonOption
from xfeat_cli.errors import one_line


def doctor(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Features, matches, COLMAP databases and models, lists of pairs, folders of photographs or masks.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong with the files of xfeat, hloc, COLMAP or any tool that writes theirs.

    Files given together are also held against one another: matches against features, features against photographs.
    Exit code 0: nothing wrong; 1: warnings; 2: errors.

    Example: xfeat doctor images/ out.h5 pairs.txt matches.h5 new.db
    """
    from xfeat_cli.doctor.examine import examine
    from xfeat_cli.doctor.findings import Severity

    found = examine(files)
    for finding in found:
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
        else:
            typer.echo(one_line(f"{finding.severity.value}: {finding.subject}: {finding.cause}"))
            typer.echo(one_line(f"  remedy: {finding.remedy}"))
    severities = {finding.severity for finding in found}
    if not found and not as_json:
        typer.echo("nothing wrong found")
    raise typer.Exit(2 if Severity.ERROR in severities else 1 if Severity.WARNING in severities else 0)
