"""`xfeat demo DIR`: a small multi-view scene with exactly known cameras."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.errors import UsageError


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; made if it does not exist.")],
    views: Annotated[int, typer.Option("--views", min=2, max=999, help="How many photographs.")] = 12,
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Size of each photograph, pixels.")] = "960x640",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, another courtyard.")] = 0,
    depth: Annotated[
        bool, typer.Option("--depth", help="Also write depth/NAME.npz: z-depth per pixel, metres, 0 = sky.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a scene that is already there.")] = False,
) -> None:
    """Render a courtyard whose cameras are exactly known, to try every other command offline.

    Writes DIR/images/*.jpg, DIR/cameras.json (K, R, t world-to-camera, pixel centres at integers) and DIR/pairs.txt.

    Example: xfeat demo courtyard && xfeat extract courtyard/images features.h5
    """
    width_height = _parse_size(size)
    from tqdm import tqdm

    from xfeat_cli.demo import render_scene

    with tqdm(total=views, unit="view", desc="render", disable=not sys.stderr.isatty()) as bar:

        def report(done: int, total: int) -> None:
            bar.update(done - bar.n)
            if bar.disable:
                typer.echo(f"rendered {done}/{total} views", err=True)

        scene = render_scene(
            folder, views=views, size=width_height, seed=seed, depth=depth, overwrite=overwrite, progress=report
        )
    typer.echo(f"{len(scene.cameras)} photographs in {scene.images}, their cameras in {scene.cameras_file}", err=True)
    typer.echo(
        "Next:\n"
        f"  xfeat extract {_quoted(scene.images)} features.h5\n"
        "  xfeat pairs exhaustive features.h5 -o pairs.txt\n"
        "  xfeat match pairs.txt --features features.h5 --output matches.h5",
        err=True,
    )


def _parse_size(text: str) -> tuple[int, int]:
    parts = re.fullmatch(r"(\d+)[xX×](\d+)", text.strip())
    if parts is None:
        raise UsageError(f"--size {text}: write it as WIDTHxHEIGHT in pixels, for example 960x640")
    return int(parts[1]), int(parts[2])


def _quoted(path: Path) -> str:
    from shlex import quote

    return quote(str(path))
