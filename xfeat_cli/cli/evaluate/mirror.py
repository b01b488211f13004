"""`xfeat eval mirror`: how far keypoints move when a photograph is mirrored, turned and shifted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.options import DeviceOption, GridsOption, JsonOption, QuietOption
from xfeat_cli.config import ExtractConfig, Precision

if TYPE_CHECKING:
    from xfeat_cli.evaluation.mirror import MirrorAccuracy
    from xfeat_cli.images import ImageFile
    from xfeat_cli.types import FloatArray

_DEFAULT = ExtractConfig()


def mirror(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTOS...", help="Folders of photographs, or photographs.")],
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", metavar="NAME|PATH", show_default="default", help="Repeat it to compare several."),
    ] = None,
    resize: Annotated[
        int, typer.Option("--resize", min=0, metavar="PX", help="Longest side of the photographs; 0 = as they are.")
    ] = _DEFAULT.resize,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Keypoints of a photograph, the best ones.")] = 1024,
    grids: GridsOption = _DEFAULT.grids,
    max_photos: Annotated[
        int | None, typer.Option("--max-photos", min=1, show_default="all", help="Only so many, evenly chosen.")
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option("--limit", min=0, metavar="PX", help="Exit code 1 if the largest shift is more than this."),
    ] = None,
    device: DeviceOption = _DEFAULT.device,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure how far keypoints move when a photograph is mirrored, turned by quarters and shifted by whole pixels.

    Nothing is resampled, so keypoints should stay where they are: a shift is a bias of the weights, which stays hidden
    between upright photographs of one scale. Refined semi-dense matches are checked on the shifted photographs.

    Examples:

      xfeat eval mirror photos/

      xfeat eval mirror photos/ --weights default --weights mine.safetensors --limit 0.1
    """
    from xfeat_cli.errors import UsageError
    from xfeat_cli.evaluation.mirror import evaluate_mirror
    from xfeat_cli.images import find_images
    from xfeat_cli.xfeat import XFeat

    files = [file for folder in photos for file in find_images(folder)]
    if max_photos is not None and max_photos < len(files):
        files = [files[i * len(files) // max_photos] for i in range(max_photos)]
    networks = [
        XFeat(weights=name, top_k=top_k, resize=resize, grids=grids, device=device, precision=Precision.FP32)
        for name in weights or [_DEFAULT.weights]
    ]
    failed: list[str] = []
    too_far = False
    for xfeat in networks:
        failed.clear()
        accuracy = evaluate_mirror(xfeat, _grays(files, resize, failed, quiet))
        if not accuracy.photographs:
            raise UsageError(f"none of {len(files)} photographs can be read: {failed[0]}")
        info = xfeat.runtime.info
        if as_json:
            measured = {**asdict(accuracy), "largest_shift_px": accuracy.largest_shift_px}
            typer.echo(json.dumps({"weights": info.name, "sha256": info.sha256, **measured}))
        else:
            _print_table(info.name, accuracy)
        too_far = too_far or (limit is not None and not accuracy.largest_shift_px <= limit)
    for error in failed:
        typer.echo(f"failed: {error}", err=True)
    if too_far:
        typer.echo(f"xfeat: the largest shift is more than {limit:g} px (--limit)", err=True)
    raise typer.Exit(1 if failed or too_far else 0)


def _grays(files: list[ImageFile], resize: int, failed: list[str], quiet: bool) -> Iterator[FloatArray]:
    """Yield the photographs, gray, with a bar on a terminal; those that cannot be read go to `failed`."""
    import sys

    from tqdm import tqdm

    from xfeat_cli.errors import ImageError
    from xfeat_cli.images import read_photo

    hidden = quiet or not sys.stderr.isatty()
    for file in tqdm(files, unit="image", dynamic_ncols=True, leave=False, disable=hidden):
        try:
            yield read_photo(file, resize).gray
        except ImageError as error:
            failed.append(str(error))


def _print_table(name: str, accuracy: MirrorAccuracy) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{escape(name)}, {accuracy.photographs} photographs", title_justify="left")
    table.add_column("medians", no_wrap=True)
    for column in ("shift x, y (px)", "distance (px)", "found again"):
        table.add_column(column, justify="right")
    rows = [*accuracy.keypoints.items(), *((f"refined, {change}", row) for change, row in accuracy.refined.items())]
    for change, moved in rows:
        shift = "none found" if math.isnan(moved.spread_px) else "{:+.2f}, {:+.2f}".format(*moved.shift_px)
        table.add_row(change, shift, f"{moved.spread_px:.2f}", f"{moved.repeated:.0f} %")
    Console().print(table)
    x, y = accuracy.bias_px
    typer.echo(f"keypoints stand ({x:+.2f}, {y:+.2f}) px, right and down, from what they detect")
