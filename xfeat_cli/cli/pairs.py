"""`xfeat pairs KIND`: make a list of image pairs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.errors import PairsError

app = typer.Typer(no_args_is_help=True, help="Make a list of image pairs to match.")

SourceArgument = Annotated[
    Path, typer.Argument(metavar="FEATURES.h5|IMAGES", help="A features file, or a folder of photographs.")
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Pair list to write.")]


@app.command()
def exhaustive(source: SourceArgument, output: OutputOption = Path("pairs.txt")) -> None:
    """Every image with every other.

    Example: xfeat pairs exhaustive out.h5 -o pairs.txt
    """
    from xfeat_cli import pairs

    _write(output, pairs.exhaustive(_names(source)))


@app.command()
def sequential(
    source: SourceArgument,
    overlap: Annotated[
        int, typer.Option("--overlap", min=1, help="How many of the following images to pair with.")
    ] = 10,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Every image with the ones that follow it in the order of their names.

    Example: xfeat pairs sequential out.h5 --overlap 10 -o pairs.txt
    """
    from xfeat_cli import pairs

    _write(output, pairs.sequential(_names(source), overlap))


def _names(source: Path) -> list[str]:
    from xfeat_cli.pairs import can_be_listed

    if source.is_dir():
        from xfeat_cli.images import find_images

        names = [image.name for image in find_images(source)]
    else:
        from xfeat_cli.store import FeaturesReader

        with FeaturesReader(source) as reader:
            names = reader.names()
    for name in names:
        if not can_be_listed(name):
            typer.echo(f"left out: {name!r} cannot stand in a list of pairs; rename the file", err=True)
    names = [name for name in names if can_be_listed(name)]
    if len(names) < 2:
        raise PairsError(f"{source} holds {len(names)} image; a pair needs two")
    return names


def _write(output: Path, pairs: Iterable[tuple[str, str]]) -> None:
    from xfeat_cli.pairs import write_pairs

    typer.echo(f"{write_pairs(output, pairs):,} pairs in {output}", err=True)
