"""`xfeat extract`: photographs → features."""

from __future__ import annotations

import warnings
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from xfeat_cli.cli.feature_options import (
    BatchSizeOption,
    DecodingOption,
    DetectionThresholdOption,
    ImageListOption,
    MasksOption,
    ModeOption,
    ResizeOption,
    RotationsOption,
    TilesOption,
    TopKOption,
    UprightOption,
    WeightsOption,
    WorkersOption,
)
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
from xfeat_cli.cli.terminal.console import JobConsole, finish_part, interruptible
from xfeat_cli.config import ExtractConfig
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
    image_list: ImageListOption = None,
    mode: ModeOption = _DEFAULT.mode,
    weights: WeightsOption = _DEFAULT.weights,
    top_k: TopKOption = _DEFAULT.top_k,
    resize: ResizeOption = _DEFAULT.resize,
    upright: UprightOption = _DEFAULT.upright,
    rotations: RotationsOption = _DEFAULT.rotations,
    tiles: TilesOption = _DEFAULT.tiles,
    detection_threshold: DetectionThresholdOption = _DEFAULT.detection_threshold,
    grids: GridsOption = _DEFAULT.grids,
    batch_size: BatchSizeOption = _DEFAULT.batch_size,
    device: DevicesOption = _DEFAULT.device,
    precision: PrecisionOption = _DEFAULT.precision,
    backend: BackendOption = _DEFAULT.backend,
    workers: WorkersOption = None,
    masks: MasksOption = None,
    decoding: DecodingOption = _DEFAULT.decoding,
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
            tiles=tiles,
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
