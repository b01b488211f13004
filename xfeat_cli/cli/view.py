"""`xfeat view`: pictures of whatever it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import QuietOption


def view(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|MODEL", help="Features, matches, a list of pairs, a COLMAP model, or a photograph."
        ),
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE…]", help="Which images; of matches, two make a pair.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="The photographs, to draw on; names are relative to it."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PNG|DIR", help="A file for one picture, or a folder.", show_default="here"
        ),
    ] = None,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Also where the network sees keypoints; computed again, needs --images.")
    ] = False,
    reliability: Annotated[
        bool, typer.Option("--reliability", help="Also where the network trusts its descriptors; needs --images.")
    ] = False,
    most: Annotated[
        int, typer.Option("--most", min=0, metavar="N", help="Of matches: the N pairs that have most of them.")
    ] = 0,
    features: Annotated[
        Path | None,
        typer.Option("--features", metavar="FILE.h5", help="Of matches: their keypoints.", show_default="beside them"),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(
            "--database", metavar="FILE.db", help="Of matches: what COLMAP verified.", show_default="beside them"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Of features: contact sheets of all images.")] = False,
    size: Annotated[int, typer.Option("--size", min=64, metavar="PX", help="Longest side of what is drawn on.")] = 1600,
    drawn: Annotated[int, typer.Option("--drawn", min=1, help="Most matches drawn, of each kind.")] = 100,
    quiet: QuietOption = False,
) -> None:
    """Draw keypoints, matches, pairs or a reconstruction as PNG files; no display is needed.

    Features without names give a contact sheet; matches without names, and lists of pairs, a matrix. Verified matches
    are solid lines with circles, rejected ones dashed with crosses. Exit code 1: a photograph could not be read.

    Examples:

      xfeat view out.h5 a.jpg --images photos/ --heatmap

      xfeat view matches.h5 a.jpg b.jpg --images photos/ -o pair.png

      xfeat view out/sparse/0 -o model.png
    """
    from xfeat_cli.jobs.view import view as run
    from xfeat_cli.view.config import ViewConfig

    viewed = run(
        source,
        names or [],
        images=images,
        features=features,
        database=database,
        output=output,
        config=ViewConfig(size=size, drawn=drawn, most=most, every=every, heatmap=heatmap, reliability=reliability),
    )
    for problem in viewed.problems:
        typer.echo(f"warning: {problem}", err=True)
    if not quiet:
        for path in viewed.pictures:
            typer.echo(path)
    raise typer.Exit(1 if viewed.problems else 0)
