"""Options that several commands share, each once."""

from __future__ import annotations

from typing import Annotated

import typer

from xfeat_cli.config import Precision

DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps; auto takes a GPU if there is one."
    ),
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="Arithmetic; auto = fp16 on CUDA, fp32 elsewhere.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Start again, instead of going on with what the output already holds.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table; errors are still shown.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="A line for every image or pair.")]

# Of sequences of images.
OverlapOption = Annotated[
    int, typer.Option("--overlap", min=1, help="Sequential pairs: how many of the following images to pair with.")
]
QuadraticOption = Annotated[
    bool,
    typer.Option("--quadratic", help="Sequential pairs: also with those 1, 2, 4, … 2^(overlap − 1) ahead, as COLMAP."),
]
LoopClosureOption = Annotated[
    int,
    typer.Option(
        "--loop-closure",
        min=0,
        metavar="N",
        help="Sequential pairs: some images also with the N that look most like them beyond the overlap; 0 = none.",
    ),
]
LoopPeriodOption = Annotated[
    int, typer.Option("--loop-period", min=1, metavar="P", help="With --loop-closure: every Pth image looks for loops.")
]
