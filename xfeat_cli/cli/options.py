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
DevicesOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE[,DEVICE…]",
        help="auto, cpu, cuda, cuda:N or mps, or several GPUs (cuda:0,cuda:1); auto takes a GPU if there is one.",
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
