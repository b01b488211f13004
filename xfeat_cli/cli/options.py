"""Options that several commands share, each once."""

from __future__ import annotations

from typing import Annotated

import typer

from xfeat_cli.config import Backend, Precision

DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps; auto takes a GPU if there is one."
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Arithmetic; auto = fp16 on CUDA, fp32 elsewhere, but bf16 for the network on a CPU that multiplies it.",
    ),
]
BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend", help="Library that computes the network; auto = OpenVINO on a CPU if installed, else torch."
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Start again, instead of going on with what the output already holds.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table; errors are still shown.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="A line for every image or pair.")]
