"""`xfeat pairs KIND`: make a list of image pairs."""

from __future__ import annotations

from collections.abc import Iterable
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
NumOption = Annotated[int, typer.Option("--num", min=1, help="Most others that an image is paired with.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A COLMAP model folder, such as out/sparse/0.")]


@app.command()
def exhaustive(source: SourceArgument, output: OutputOption = Path("pairs.txt")) -> None:
    """Pair every image with every other.

    Example: xfeat pairs exhaustive out.h5 -o pairs.txt
    """
    _write_of(_sources(source), PairConfig(), output)


@app.command()
def sequential(
    source: SourceArgument,
    overlap: OverlapOption = _DEFAULT.overlap,
    quadratic: QuadraticOption = _DEFAULT.quadratic,
    loop_closure: LoopClosureOption = _DEFAULT.loop_closure,
    loop_period: LoopPeriodOption = _DEFAULT.loop_period,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Pair every image with those that follow it by name, and close loops by what looks alike.

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
    _write_of(_sources(source), config, output)


@app.command()
def retrieval(
    features: Annotated[Path, typer.Argument(metavar="FEATURES.h5", help="What `xfeat extract` wrote.")],
    num: NumOption = 20,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Pair every image with those that look most like it, by a descriptor pooled from their local ones.

    Example: xfeat pairs retrieval out.h5 --num 20 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs

    pairs = make_pairs(PairSources(features=features), PairConfig((PairKind.RETRIEVAL,), num=num))
    _write(output, pairs, [features], f"{features} holds no two images with features")


@app.command()
def spatial(
    images: Annotated[Path, typer.Argument(metavar="IMAGES|POSITIONS.csv", help="Photographs with GPS, or a list.")],
    num: NumOption = 20,
    distance: Annotated[
        float, typer.Option("--distance", min=0, metavar="D", help="Farthest partner; metres, or the list's unit.")
    ] = float("inf"),
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Pair every image with those taken nearest to it: by GPS from EXIF, or by a CSV of positions.

    The CSV holds name,x,y[,z] or name,latitude,longitude[,altitude] a line.

    Example: xfeat pairs spatial images/ --num 20 --distance 100 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs

    is_folder = images.is_dir()
    config = PairConfig((PairKind.SPATIAL,), num=num, distance=distance, positions=None if is_folder else images)
    sources = PairSources(images=images if is_folder else None)
    pairs = make_pairs(sources, config)
    for note in sources.notes:
        typer.echo(note, err=True)
    nothing = f"{images}: no two images have positions near enough; raise --distance, or give a CSV of positions"
    _write(output, pairs, [images], nothing)


@app.command()
def poses(
    model: ModelArgument,
    num: NumOption = 20,
    max_angle_deg: Annotated[
        float, typer.Option("--max-angle-deg", min=0, max=180, help="Most that viewing directions may differ.")
    ] = 45.0,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Pair every image with those whose cameras stand nearest and look the same way.

    Example: xfeat pairs poses out/sparse/0 --num 20 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs
    from xfeat_cli.sfm.tracks import read_posed

    config = PairConfig((PairKind.POSES,), num=num, max_angle_deg=max_angle_deg, model=model)
    pairs = make_pairs(PairSources(posed=read_posed(model)), config)
    _write(output, pairs, [*model.glob("*")], f"{model}: no two cameras look the same way")


@app.command()
def covisibility(model: ModelArgument, num: NumOption = 20, output: OutputOption = Path("pairs.txt")) -> None:
    """Pair every image with those that see most of its points.

    Example: xfeat pairs covisibility out/sparse/0 --num 20 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs
    from xfeat_cli.sfm.tracks import read_posed

    pairs = make_pairs(PairSources(posed=read_posed(model)), PairConfig((PairKind.COVISIBILITY,), num=num, model=model))
    _write(output, pairs, [*model.glob("*")], f"{model}: no two images see a common point")


@app.command()
def union(
    lists: Annotated[list[Path], typer.Argument(metavar="PAIRS.txt...", help="Lists of pairs; - = stdin.")],
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Join several lists, each pair once.

    Example: xfeat pairs union near.txt alike.txt -o pairs.txt
    """
    from itertools import chain

    from xfeat_cli.pairing.lists import read_pairs, unique

    _write(output, unique(chain.from_iterable(map(read_pairs, lists))), lists, "the lists hold no pairs")


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


def _write_of(sources: PairSources, config: PairConfig, output: Path) -> None:
    from xfeat_cli.pairing.kinds import make_pairs

    inputs = [sources.features] if sources.features else []
    _write(output, make_pairs(sources, config), inputs, "there are no pairs", sources.features)


def _write(
    output: Path, pairs: Iterable[tuple[str, str]], inputs: Iterable[Path], nothing: str, features: Path | None = None
) -> None:
    """Write pairs as they are made; raises PairsError, `nothing`, when there are none."""
    from itertools import chain

    from xfeat_cli.pairing.lists import write_pairs

    made = iter(pairs)
    first = next(made, None)
    if first is None:
        raise PairsError(nothing)
    typer.echo(f"{write_pairs(output, chain([first], made), inputs):,} pairs in {output}", err=True)
    source = "" if features is None else f" --features {quote(str(features))}"
    typer.echo(f"next: xfeat match {quote(str(output))}{source}", err=True)
