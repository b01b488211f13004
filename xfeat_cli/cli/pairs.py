"""`xfeat pairs KIND`: make a list of image pairs."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.help import App
from xfeat_cli.cli.options import LoopClosureOption, LoopPeriodOption, OverlapOption, QuadraticOption
from xfeat_cli.errors import PairsError
from xfeat_cli.pairing.config import PairConfig, PairKind

if TYPE_CHECKING:
    from xfeat_cli.pairing.kinds import PairSources

_DEFAULT = PairConfig()

app = App(no_args_is_help=True, help="Make a list of image pairs to match.")

SourceArgument = Annotated[
    Path, typer.Argument(metavar="FEATURES.h5|IMAGES", help="A features file, or a folder of photographs.")
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Pair list to write.")]


@app.command()
def exhaustive(source: SourceArgument, output: OutputOption = Path("pairs.txt")) -> None:
    """Every image with every other.

    Example: xfeat pairs exhaustive out.h5 -o pairs.txt
    """
    _write(output, _sources(source), PairConfig())


@app.command()
def sequential(
    source: SourceArgument,
    overlap: OverlapOption = _DEFAULT.overlap,
    quadratic: QuadraticOption = _DEFAULT.quadratic,
    loop_closure: LoopClosureOption = _DEFAULT.loop_closure,
    loop_period: LoopPeriodOption = _DEFAULT.loop_period,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Every image with the ones that follow it in the order of their names; loops closed by what looks alike.

    Examples:

      xfeat pairs sequential out.h5 --overlap 10 -o pairs.txt

      xfeat pairs sequential out.h5 --quadratic --loop-closure 20
    """
    config = PairConfig(
        (PairKind.SEQUENTIAL,),
        overlap=overlap,
        quadratic=quadratic,
        loop_closure=loop_closure,
        loop_period=loop_period,
    )
    _write(output, _sources(source), config)


def _sources(source: Path) -> PairSources:
    from xfeat_cli.pairing.kinds import PairSources

    is_folder = source.is_dir()
    return PairSources(_names(source), None if is_folder else source, source if is_folder else None)


def _names(source: Path) -> list[str]:
    from xfeat_cli.pairing.lists import can_be_listed

    if source.is_dir():
        from xfeat_cli.images import find_images

        names = [image.name for image in find_images(source)]
        for name in names:
            if not can_be_listed(name):
                typer.echo(f"left out: {name!r} cannot stand in a list of pairs; rename the file", err=True)
        names = [name for name in names if can_be_listed(name)]
    else:
        from xfeat_cli.pairing.present import present_names
        from xfeat_cli.store.reader import KeypointsReader

        with KeypointsReader(source) as reader:
            names = present_names(reader)
    if len(names) < 2:
        raise PairsError(f"{source} holds {len(names)} image; a pair needs two")
    return names


def _write(output: Path, sources: PairSources, config: PairConfig) -> None:
    from xfeat_cli.pairing.kinds import make_pairs
    from xfeat_cli.pairing.lists import write_pairs

    inputs = [sources.features] if sources.features else []
    typer.echo(f"{write_pairs(output, make_pairs(sources, config), inputs):,} pairs in {output}", err=True)
    if sources.features is not None:
        files = f"{quote(str(output))} --features {quote(str(sources.features))}"
        typer.echo(f"next: xfeat match {files}", err=True)
