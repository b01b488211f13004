"""`xfeat pairs retrieval|spatial|poses|covisibility|union`: lists of pairs that are likely to overlap."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from xfeat_cli.errors import PairsError
from xfeat_cli.pairing.config import PairConfig, PairKind

OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Pair list to write.")]
NumOption = Annotated[int, typer.Option("--num", min=1, help="Most others that an image is paired with.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A COLMAP model folder, such as out/sparse/0.")]


def retrieval(
    features: Annotated[Path, typer.Argument(metavar="FEATURES.h5", help="What `xfeat extract` wrote.")],
    num: NumOption = 20,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Every image with those that look most like it, by a descriptor pooled from their local ones.

    Example: xfeat pairs retrieval out.h5 --num 20 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs

    pairs = make_pairs(PairSources(features=features), PairConfig((PairKind.RETRIEVAL,), num=num))
    _write(output, pairs, [features], f"{features} holds no two images with features")


def spatial(
    images: Annotated[Path, typer.Argument(metavar="IMAGES|POSITIONS.csv", help="Photographs with GPS, or a list.")],
    num: NumOption = 20,
    distance: Annotated[
        float, typer.Option("--distance", min=0, metavar="D", help="Farthest partner; metres, or the list's unit.")
    ] = float("inf"),
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Every image with those taken nearest to it: GPS from EXIF, or a CSV of name,x,y[,z] or name,latitude,longitude.

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


def poses(
    model: ModelArgument,
    num: NumOption = 20,
    max_angle_deg: Annotated[
        float, typer.Option("--max-angle-deg", min=0, max=180, help="Most that viewing directions may differ.")
    ] = 45.0,
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """Every image with those whose cameras stand nearest and look the same way.

    Example: xfeat pairs poses out/sparse/0 --num 20 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs
    from xfeat_cli.sfm.tracks import read_posed

    config = PairConfig((PairKind.POSES,), num=num, max_angle_deg=max_angle_deg, model=model)
    pairs = make_pairs(PairSources(posed=read_posed(model)), config)
    _write(output, pairs, [*model.glob("*")], f"{model}: no two cameras look the same way")


def covisibility(model: ModelArgument, num: NumOption = 20, output: OutputOption = Path("pairs.txt")) -> None:
    """Every image with those that see most of its points.

    Example: xfeat pairs covisibility out/sparse/0 --num 20 -o pairs.txt
    """
    from xfeat_cli.pairing.kinds import PairSources, make_pairs
    from xfeat_cli.sfm.tracks import read_posed

    pairs = make_pairs(PairSources(posed=read_posed(model)), PairConfig((PairKind.COVISIBILITY,), num=num, model=model))
    _write(output, pairs, [*model.glob("*")], f"{model}: no two images see a common point")


def union(
    lists: Annotated[list[Path], typer.Argument(metavar="PAIRS.txt...", help="Lists of pairs; - = stdin.")],
    output: OutputOption = Path("pairs.txt"),
) -> None:
    """All pairs of several lists, each once.

    Example: xfeat pairs union near.txt alike.txt -o pairs.txt
    """
    from itertools import chain

    from xfeat_cli.pairing.lists import read_pairs, unique

    _write(output, unique(chain.from_iterable(map(read_pairs, lists))), lists, "the lists hold no pairs")


def _write(output: Path, pairs: Iterable[tuple[str, str]], inputs: Iterable[Path], nothing: str) -> None:
    """Write pairs as they are made; raises PairsError, `nothing`, when there are none."""
    from itertools import chain

    from xfeat_cli.pairing.lists import write_pairs

    made = iter(pairs)
    first = next(made, None)
    if first is None:
        raise PairsError(nothing)
    typer.echo(f"{write_pairs(output, chain([first], made), inputs):,} pairs in {output}", err=True)
    typer.echo(f"next: xfeat match {quote(str(output))}", err=True)
