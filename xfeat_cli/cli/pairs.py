"""`xfeat pairs KIND`: make a list of image pairs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.options import LoopClosureOption, LoopPeriodOption, OverlapOption, QuadraticOption
from xfeat_cli.errors import PairsError, UsageError
from xfeat_cli.sfm.config import SfmConfig

if TYPE_CHECKING:
    from xfeat_cli.types import Pair

_DEFAULT = SfmConfig()

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
    from xfeat_cli.pairing import lists as pairs

    _write(output, pairs.exhaustive(_names(source)), source)


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
    from xfeat_cli.pairing import lists as pairs

    if loop_closure and source.is_dir():
        raise UsageError(f"--loop-closure compares features: give the file that `xfeat extract {source}` writes")
    made: Iterable[Pair] = pairs.sequential(_names(source), overlap, quadratic)
    if loop_closure:
        from xfeat_cli.pairing.retrieval import loop_closures

        made = pairs.unique([*made, *loop_closures(source, loop_closure, loop_period, overlap)])
    _write(output, made, source)


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


def _write(output: Path, pairs: Iterable[tuple[str, str]], source: Path) -> None:
    from xfeat_cli.pairing.lists import write_pairs

    typer.echo(f"{write_pairs(output, pairs, [source]):,} pairs in {output}", err=True)
