"""`xfeat extract`: photographs → features."""

from __future__ import annotations

import warnings
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from xfeat_cli.cli.console import JobConsole, finish_part, interruptible
from xfeat_cli.cli.help import FEATURES, HARDWARE
from xfeat_cli.cli.options import (
    BackendOption,
    DevicesOption,
    GridsOption,
    JsonOption,
    OverwriteOption,
    PrecisionOption,
    QuietOption,
    RayOption,
    ShardOption,
    VerboseOption,
)
from xfeat_cli.cli.scale import extract_runner
from xfeat_cli.config import Decoding, ExtractConfig, Mode, Rotations
from xfeat_cli.errors import UsageError

_DEFAULT = ExtractConfig()
_OUTPUT_SUFFIXES = (".h5", ".hdf5")


def extract(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            show_default=False,
            help="Folders of photographs (walked recursively), or images; OUT.h5 may come last.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", show_default="out.h5", help="Features file to write."),
    ] = None,
    image_list: Annotated[
        Path | None,
        typer.Option(
            "--image-list", metavar="FILE", help="Only these images: names within IMAGES, one a line; - = stdin."
        ),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode", help="Keypoints, or a dense grid to be refined while matching.", rich_help_panel=FEATURES
        ),
    ] = _DEFAULT.mode,
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.", rich_help_panel=FEATURES)
    ] = _DEFAULT.weights,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            min=1,
            show_default="4096 sparse, 10000 semi-dense",
            help="Most features an image may have.",
            rich_help_panel=FEATURES,
        ),
    ] = _DEFAULT.top_k,
    resize: Annotated[
        int,
        typer.Option(
            "--resize",
            min=0,
            metavar="PX",
            help="Longest side the network sees; 0 = never reduce.",
            rich_help_panel=FEATURES,
        ),
    ] = _DEFAULT.resize,
    upright: Annotated[
        bool,
        typer.Option(
            "--upright/--no-upright",
            help="The network sees images as their EXIF orientation turns them, or as stored; keypoints are of the "
            "stored image either way.",
        ),
    ] = _DEFAULT.upright,
    rotations: Annotated[
        Rotations,
        typer.Option(
            "--rotations",
            help="Quarter turns tried for images that match no other as they stand: none, all for some of them, or "
            "all for each.",
            rich_help_panel=FEATURES,
        ),
    ] = _DEFAULT.rotations,
    detection_threshold: Annotated[
        float,
        typer.Option(
            "--detection-threshold", min=0, max=1, help="Least probability of a keypoint.", rich_help_panel=FEATURES
        ),
    ] = _DEFAULT.detection_threshold,
    grids: GridsOption = _DEFAULT.grids,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            show_default="16 on CUDA",
            help="Images of one size that a GPU sees at once.",
            rich_help_panel=HARDWARE,
        ),
    ] = _DEFAULT.batch_size,
    device: DevicesOption = _DEFAULT.device,
    precision: PrecisionOption = _DEFAULT.precision,
    backend: BackendOption = _DEFAULT.backend,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            show_default="one a processor; for a GPU at most 16",
            help="Images computed at once on a CPU, or decoded at once for a GPU.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="DIR", help="COLMAP masks: DIR/name.jpg.png, black = ignore.")
    ] = None,
    decoding: Annotated[
        Decoding,
        typer.Option("--decoding", help="Ours, or the authors' with its known faults.", rich_help_panel=FEATURES),
    ] = _DEFAULT.decoding,
    shard: ShardOption = None,
    ray: RayOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Extract local features from photographs into an HDF5 file.

    A run that was interrupted goes on where it stopped. Exit code 0: all good; 1: some images failed; 2: nothing done.

    Examples:

      xfeat extract images/ out.h5

      xfeat extract images/ dense.h5 --mode semi-dense --resize 1600

      xfeat extract photos/*.jpg more-photos/ -o out.h5

      ls images | grep jpg | xfeat extract images/ out.h5 --image-list -
    """
    images, output = _inputs_and_output(images, output)
    console = JobConsole("image", "keypoints", as_json=as_json, quiet=quiet, verbose=verbose)
    console.begin(f"loading weights {weights} (device {device}, precision {precision.value}, backend {backend.value})")
    with interruptible(console, output):
        warnings.filterwarnings("ignore", module="PIL")  # what Pillow finds odd is either read or reported by us
        from xfeat_cli.images import read_image_list

        listed = None if image_list is None else read_image_list(image_list)
        run = extract_runner(shard, ray)

        summary = run(
            images,
            output,
            image_list=listed,
            masks=masks,
            workers=workers,
            overwrite=overwrite,
            listener=console,
            mode=mode,
            weights=weights,
            top_k=top_k,
            resize=resize,
            upright=upright,
            rotations=rotations,
            detection_threshold=detection_threshold,
            grids=grids,
            batch_size=batch_size,
            device=device,
            precision=precision,
            backend=backend,
            decoding=decoding,
        )
    raise typer.Exit(finish_part(console, summary, shard, f"xfeat pairs exhaustive {quote(str(output))} -o pairs.txt"))


def _inputs_and_output(images: list[Path], output: Path | None) -> tuple[list[Path], Path]:
    """The last of several arguments is the output if its name ends like one and `--output` does not name another."""
    if output is None and images[-1].suffix.lower() in _OUTPUT_SUFFIXES:
        images, output = images[:-1], images[-1]
    for path in images:
        if path.suffix.lower() in _OUTPUT_SUFFIXES and not path.is_dir():
            raise UsageError(f"{path} is no photograph; name one output, as the last argument or with --output")
    if not images:
        raise UsageError("no photographs to extract from: name a folder or images before the output")
    return images, output or Path("out.h5")
