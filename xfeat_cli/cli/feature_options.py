"""Options of extraction and of matching, which `xfeat sfm` shares with the commands of these names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.help import FEATURES, HARDWARE, MATCHING
from xfeat_cli.config import Decoding, MatcherKind, Mode, Rotations

ImageListOption = Annotated[
    Path | None,
    typer.Option("--image-list", metavar="FILE", help="Only these images: names within IMAGES, one a line; - = stdin."),
]
ModeOption = Annotated[
    Mode,
    typer.Option("--mode", help="Keypoints, or a dense grid to be refined while matching.", rich_help_panel=FEATURES),
]
WeightsOption = Annotated[
    str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.", rich_help_panel=FEATURES)
]
TopKOption = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        min=1,
        show_default="4096 sparse, 10000 semi-dense",
        help="Most features an image may have.",
        rich_help_panel=FEATURES,
    ),
]
ResizeOption = Annotated[
    int,
    typer.Option(
        "--resize",
        min=0,
        metavar="PX",
        help="Longest side the network sees; 0 = never reduce.",
        rich_help_panel=FEATURES,
    ),
]
UprightOption = Annotated[
    bool,
    typer.Option(
        "--upright/--no-upright",
        help="The network sees images as their EXIF orientation turns them, or as stored; keypoints are of the "
        "stored image either way.",
        rich_help_panel=FEATURES,
    ),
]
RotationsOption = Annotated[
    Rotations,
    typer.Option(
        "--rotations",
        help="Quarter turns tried for images that match no other as they stand: none, all for some of them, or "
        "all for each.",
        rich_help_panel=FEATURES,
    ),
]
DetectionThresholdOption = Annotated[
    float,
    typer.Option(
        "--detection-threshold", min=0, max=1, help="Least probability of a keypoint.", rich_help_panel=FEATURES
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        show_default="16 on CUDA",
        help="Images of one size that a GPU sees at once.",
        rich_help_panel=HARDWARE,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        show_default="one a processor; for a GPU at most 16",
        help="Images computed at once on a CPU, or decoded at once for a GPU.",
        rich_help_panel=HARDWARE,
    ),
]
MasksOption = Annotated[
    Path | None, typer.Option("--masks", metavar="DIR", help="COLMAP masks: DIR/name.jpg.png, black = ignore.")
]
DecodingOption = Annotated[
    Decoding,
    typer.Option("--decoding", help="Ours, or the authors' with its known faults.", rich_help_panel=FEATURES),
]

# These concern matching.
MatcherOption = Annotated[
    MatcherKind,
    typer.Option(
        "--matcher",
        help="Mutual nearest neighbours, or the authors' learned matcher, made for the official weights: it takes "
        "sparse features, the extra [lighterglue], and `xfeat weights download lighterglue`.",
        rich_help_panel=MATCHING,
    ),
]
MinCossimOption = Annotated[
    float | None,
    typer.Option(
        "--min-cossim",
        min=-1,
        max=1,
        show_default="as the weights ask; none if semi-dense",
        help="Least cosine of two descriptors; -1 = none.",
        rich_help_panel=MATCHING,
    ),
]
RatioOption = Annotated[
    float,
    typer.Option(
        "--ratio",
        min=0,
        max=1,
        help="Most that the nearest distance may be of the second; 1 = no test.",
        rich_help_panel=MATCHING,
    ),
]
MinScoreOption = Annotated[
    float,
    typer.Option(
        "--min-score",
        min=0,
        max=1,
        help="With --matcher lighterglue: least probability of a match.",
        rich_help_panel=MATCHING,
    ),
]
TilesOption = Annotated[
    int | None,
    typer.Option(
        "--tiles",
        metavar="PX",
        min=0,
        show_default="2048 above 16 MP",
        help="Side of the overlapping tiles in which the network sees what is larger; 0 = never.",
        rich_help_panel=FEATURES,
    ),
]
