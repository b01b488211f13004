"""`xfeat match` (also `xfeat match-pairs`): features and pairs → matches."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from xfeat_cli.cli.feature_options import (
    MatcherOption,
    MinCossimOption,
    MinScoreOption,
    RatioOption,
)
from xfeat_cli.cli.help import MATCHING
from xfeat_cli.cli.options import (
    DevicesOption,
    JsonOption,
    MinConfidenceOption,
    OverwriteOption,
    PrecisionOption,
    QuietOption,
    RayOption,
    ShardOption,
    VerboseOption,
)
from xfeat_cli.cli.refine import refine_matches
from xfeat_cli.cli.scale import match_runner
from xfeat_cli.cli.terminal.console import JobConsole, finish_part, interruptible
from xfeat_cli.config import MatchConfig
from xfeat_cli.errors import UsageError

_DEFAULT = MatchConfig()


def match(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS.txt", help="One `name0 name1` a line; - = stdin; see `xfeat pairs`.")
    ],
    features: Annotated[
        Path, typer.Option("--features", "-f", metavar="FILE", help="What `xfeat extract` wrote.")
    ] = Path("out.h5"),
    features0: Annotated[
        Path | None,
        typer.Option(
            "--features0",
            metavar="FILE",
            help="Another features file, for the first image of each pair; the second is looked up in --features.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Matches file to write.")] = Path(
        "matches.h5"
    ),
    matcher: MatcherOption = _DEFAULT.matcher,
    min_cossim: MinCossimOption = _DEFAULT.min_cossim,
    ratio: RatioOption = _DEFAULT.ratio,
    min_confidence: MinConfidenceOption = _DEFAULT.min_confidence,
    min_score: MinScoreOption = _DEFAULT.min_score,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="NAME|PATH",
            show_default="as the features say; lighterglue",
            help="Weights that hold the refiner of semi-dense features, or LighterGlue.",
            rich_help_panel=MATCHING,
        ),
    ] = _DEFAULT.weights,
    refine: Annotated[
        Path | None,
        typer.Option(
            "--refine",
            metavar="IMAGES",
            help="Then refine keypoints and matches on the photographs in this folder, as `xfeat refine` does: into "
            "refined-FEATURES and refined-MATCHES beside the matches.",
            rich_help_panel=MATCHING,
        ),
    ] = None,
    device: DevicesOption = _DEFAULT.device,
    precision: PrecisionOption = _DEFAULT.precision,
    shard: ShardOption = None,
    ray: RayOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Match pairs of images: mutual nearest neighbours; refined to sub-cell points when the features are semi-dense.

    --matcher lighterglue matches sparse features by the authors' learned matcher instead.

    A run that was interrupted goes on where it stopped. Exit code 0: all good; 1: some pairs failed; 2: nothing done.

    Examples:

      xfeat match pairs.txt

      xfeat match pairs.txt --features out.h5 --output matches.h5 --min-cossim -1 --ratio 0.95

      xfeat match pairs.txt --matcher lighterglue

      xfeat match pairs.txt --refine images/

      xfeat match pairs.txt --features queries.h5 --features0 references.h5
    """
    if refine is not None and (shard or ray):
        raise UsageError("--refine needs the matches of all pairs: refine what `xfeat merge` makes of the parts")
    if features0 is not None and (refine is not None or ray is not None):
        raise UsageError("--features0 cannot go with --refine or --ray, which take one features file")
    console = JobConsole("pair", "matches", as_json=as_json, quiet=quiet, verbose=verbose)
    loaded = features if features0 is None else f"{features0}, {features}"
    console.begin(f"loading {loaded} and the matcher (device {device})")
    with interruptible(console, output):
        run = match_runner(shard, ray)

        summary = run(
            pairs,
            features,
            output,
            **({} if features0 is None else {"features0": features0}),
            overwrite=overwrite,
            listener=console,
            matcher=matcher,
            min_score=min_score,
            min_cossim=min_cossim,
            ratio=ratio,
            min_confidence=min_confidence,
            weights=weights,
            device=device,
            precision=precision,
        )
    code = finish_part(console, summary, shard, f"xfeat view {quote(str(output))} --most 10 --images IMAGES")
    if refine is not None and not summary.nothing_done:
        refined = output.with_name(f"refined-{features.name}"), output.with_name(f"refined-{output.name}")
        code = max(code, refine_matches(features, output, refine, *refined, overwrite, as_json, quiet, verbose))
    raise typer.Exit(code)
