"""`xfeat export-model`: the network for other runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import GridsOption, JsonOption, QuietOption
from xfeat_cli.export.config import ExportConfig, Format, Part

_DEFAULT = ExportConfig()


def export_model(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files and model.json.")],
    format: Annotated[Format, typer.Option("--format", help="Of the files.")] = _DEFAULT.format,
    parts: Annotated[
        list[Part] | None,
        typer.Option(
            "--with",
            show_default="all that the weights hold",
            help="Sparse or semi-dense features, the nearest-neighbour matcher, the refiner; repeat it for several.",
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.")
    ] = _DEFAULT.weights,
    half: Annotated[
        bool, typer.Option("--half", help="Weights and convolutions in float16; inputs and outputs stay float32.")
    ] = _DEFAULT.half,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Rows of the sparse outputs.")] = _DEFAULT.top_k,
    dense_top_k: Annotated[
        int, typer.Option("--dense-top-k", min=2, help="Rows of the semi-dense outputs.")
    ] = _DEFAULT.dense_top_k,
    detection_threshold: Annotated[
        float, typer.Option("--detection-threshold", min=0, max=1, help="Least probability of a keypoint.")
    ] = _DEFAULT.detection_threshold,
    grids: GridsOption = _DEFAULT.grids,
    min_cossim: Annotated[
        float | None,
        typer.Option("--min-cossim", min=-1, max=1, show_default="as the weights ask", help="Of the matcher."),
    ] = _DEFAULT.min_cossim,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier export.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the network as ONNX, OpenVINO or TorchScript files that take an image and give features.

    Sizes and batch are free; normalisation and decoding are inside. Each file is checked against xfeat's own features
    in onnxruntime and OpenVINO, as far as they are installed, and is there only if it gives the same.

    Examples:

      xfeat export-model exported/

      xfeat export-model exported/ --format openvino --with sparse --half
    """
    from dataclasses import asdict

    from xfeat_cli.export.run import export_model as run

    config = ExportConfig(
        format, tuple(parts or ()), weights, half, top_k, dense_top_k, detection_threshold, grids, min_cossim
    )
    started = None if quiet else lambda part: typer.echo(f"{part.value} …", err=True)
    exported = run(folder, config, overwrite=overwrite, started=started)
    for one in exported:
        if as_json:
            typer.echo(
                json.dumps(
                    {
                        "part": one.part.value,
                        "file": str(folder / one.file),
                        "checked": [asdict(a) for a in one.agreements],
                    }
                )
            )
        elif not quiet:
            checks = "; ".join(_in_words(asdict(found)) for found in one.agreements)
            typer.echo(f"{folder / one.file}: {checks or 'not checked: nothing that runs it is installed'}")


def _in_words(found: dict) -> str:
    words = [f"{found['runtime']}: {found['shared']:.2%} the same"]
    if found["cosine"] is not None:
        words.append(f"least cosine {found['cosine']:.6f}")
    if found["largest_difference"] is not None:
        words.append(f"largest difference {found['largest_difference']:.1g}")
    return ", ".join(words)
