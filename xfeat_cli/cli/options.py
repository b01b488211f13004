"""Options that several commands share, each once."""

from __future__ import annotations

from typing import Annotated

import typer

from xfeat_cli.cli.help import COLMAP, FEATURES, HARDWARE, MATCHING, OUTPUT, PAIRS
from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.config import CameraSharing, Mapper

DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps; auto takes a GPU if there is one.",
        rich_help_panel=HARDWARE,
    ),
]
DevicesOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE[,DEVICE…]",
        help="auto, cpu, cuda, cuda:N or mps, or several GPUs (cuda:0,cuda:1); auto takes a GPU if there is one.",
        rich_help_panel=HARDWARE,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Arithmetic; auto = fp16 on CUDA, else fp32, but bf16 for the network on a CPU where that is much faster.",
        rich_help_panel=HARDWARE,
    ),
]
BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend",
        help="Library that computes the network; auto = the fastest on this CPU of those installed, else torch.",
        rich_help_panel=HARDWARE,
    ),
]
GridsOption = Annotated[
    int,
    typer.Option(
        "--grids",
        metavar="1|2|4",
        help="Grids of cells that keypoints are averaged over: 4 = precise, 1 = fast.",
        rich_help_panel=FEATURES,
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Start again, instead of going on with what the output already holds.",
        rich_help_panel=OUTPUT,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object a line on stdout, for programs.", rich_help_panel=OUTPUT)
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no table; errors are still shown.", rich_help_panel=OUTPUT),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        show_default=False,
        help="Do part I of N only, into the folder OUT.h5.pieces; `xfeat merge` joins the parts.",
        rich_help_panel=OUTPUT,
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="local|ADDRESS",
        show_default=False,
        help="Do the work on all nodes of a Ray cluster; local = start Ray on this machine. Needs the extra [ray].",
        rich_help_panel=HARDWARE,
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="A line for every image or pair.", rich_help_panel=OUTPUT)
]

# These concern sequences of images.
OverlapOption = Annotated[
    int,
    typer.Option(
        "--overlap",
        min=1,
        help="Sequential pairs: how many of the following images to pair with.",
        rich_help_panel=PAIRS,
    ),
]
QuadraticOption = Annotated[
    bool,
    typer.Option(
        "--quadratic",
        help="Sequential pairs: also with those 1, 2, 4, … 2^(overlap − 1) ahead, as COLMAP.",
        rich_help_panel=PAIRS,
    ),
]
_LOOP_CLOSURE_HELP = (
    "Sequential pairs: some images also with the N that look most like them beyond the overlap; 0 = none."
)
LoopClosureOption = Annotated[
    int,
    typer.Option("--loop-closure", min=0, metavar="N", help=_LOOP_CLOSURE_HELP, rich_help_panel=PAIRS),
]
SuitedLoopClosureOption = Annotated[
    int | None,
    typer.Option(
        "--loop-closure",
        min=0,
        metavar="N",
        show_default="0; of a video 20",
        help=_LOOP_CLOSURE_HELP,
        rich_help_panel=PAIRS,
    ),
]
"""None = what suits the input."""
LoopPeriodOption = Annotated[
    int,
    typer.Option(
        "--loop-period",
        min=1,
        metavar="P",
        help="With --loop-closure: every Pth image looks for loops.",
        rich_help_panel=PAIRS,
    ),
]

# These concern COLMAP.
CameraModelOption = Annotated[
    str,
    typer.Option("--camera-model", metavar="MODEL", help="COLMAP's name of a camera model.", rich_help_panel=COLMAP),
]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        min=0,
        max=1,
        show_default="as the refiner asks",
        help="Least confidence of a refined semi-dense match.",
        rich_help_panel=MATCHING,
    ),
]
CameraOption = Annotated[
    CameraSharing | None,
    typer.Option(
        "--camera",
        show_default="auto",
        help="Which images share a camera; auto: those whose EXIF says so, and without EXIF those of one size and "
        "folder. A camera is always of images of one size.",
        rich_help_panel=COLMAP,
    ),
]
CameraParamsOption = Annotated[
    str | None,
    typer.Option(
        "--camera-params",
        metavar="N,N…",
        show_default="from EXIF, or a guess",
        help="Parameters of the camera model to begin with, in COLMAP's order, pixels.",
        rich_help_panel=COLMAP,
    ),
]
SingleCameraOption = Annotated[
    bool, typer.Option("--single-camera", help="The same as --camera single.", rich_help_panel=COLMAP)
]
CameraPerFolderOption = Annotated[
    bool, typer.Option("--camera-per-folder", help="The same as --camera per-folder.", rich_help_panel=COLMAP)
]
RefineOption = Annotated[
    bool,
    typer.Option(
        "--refine/--no-refine",
        help="Register the photographs at the matches, which makes keypoints more precise; see `xfeat refine --help`.",
        rich_help_panel=MATCHING,
    ),
]
RefinePrincipalPointOption = Annotated[
    bool | None,
    typer.Option(
        "--refine-principal-point/--no-refine-principal-point",
        show_default="where ten images share a camera",
        help="Estimate the cameras' principal points too, not only focal length and distortion.",
        rich_help_panel=COLMAP,
    ),
]
GeoregisterOption = Annotated[
    bool,
    typer.Option(
        "--georegister/--no-georegister",
        help="Move the model to where GPS or --positions says that images were taken: metres east, north and up.",
        rich_help_panel=COLMAP,
    ),
]
MapperOption = Annotated[
    Mapper, typer.Option("--mapper", help="Which of COLMAP's mappers makes the model.", rich_help_panel=COLMAP)
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=-1, help="Of COLMAP's stages; -1 = all.", rich_help_panel=COLMAP)
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, help="Of COLMAP's random choices; the same seed gives the same model.", rich_help_panel=COLMAP
    ),
]


def camera_sharing(
    camera: CameraSharing | None,
    single_camera: bool,
    camera_per_folder: bool,
    default: CameraSharing = CameraSharing.AUTO,
) -> CameraSharing:
    """Return what `--camera`, `--single-camera` and `--camera-per-folder` ask for, or the default.

    Raises UsageError where they disagree.
    """
    asked = {
        *([camera] if camera is not None else []),
        *([CameraSharing.SINGLE] if single_camera else []),
        *([CameraSharing.PER_FOLDER] if camera_per_folder else []),
    }
    if len(asked) > 1:
        raise UsageError("--camera, --single-camera and --camera-per-folder exclude each other; give one of them")
    return asked.pop() if asked else default
