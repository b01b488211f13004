"""`xfeat sfm IMAGES OUT_DIR`: photographs → a reconstruction."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.console import JobConsole, interruptible
from xfeat_cli.cli.options import (
    CameraModelOption,
    CameraPerFolderOption,
    DevicesOption,
    JsonOption,
    LoopClosureOption,
    LoopPeriodOption,
    MapperOption,
    OverlapOption,
    OverwriteOption,
    PrecisionOption,
    QuadraticOption,
    QuietOption,
    RefineOption,
    RefinePrincipalPointOption,
    SeedOption,
    SingleCameraOption,
    ThreadsOption,
    VerboseOption,
    camera_sharing,
)
from xfeat_cli.cli.sfm_report import write_report
from xfeat_cli.cli.sfm_table import print_table
from xfeat_cli.config import ExtractConfig, MatchConfig, MatcherKind, Mode, RefineConfig
from xfeat_cli.errors import SfmError
from xfeat_cli.pairing.config import PairConfig, PairKind
from xfeat_cli.sfm.config import AggregateConfig, CameraConfig, MappingConfig, SfmConfig, VerificationConfig

if TYPE_CHECKING:
    from xfeat_cli.jobs.progress import Listener

_DEFAULT = SfmConfig()
_EXTRACT, _PAIRS, _MATCH, _MAPPING = _DEFAULT.extraction, _DEFAULT.pairing, _DEFAULT.matching, _DEFAULT.mapping


def sfm(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of photographs (walked recursively).")],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder for every stage's file and the model.")],
    mode: Annotated[Mode, typer.Option("--mode", help="Sparse keypoints, or semi-dense points.")] = _EXTRACT.mode,
    pairs: Annotated[PairKind, typer.Option("--pairs", help="Which images are matched.")] = _PAIRS.kinds[0],
    overlap: OverlapOption = _PAIRS.overlap,
    quadratic: QuadraticOption = _PAIRS.quadratic,
    loop_closure: LoopClosureOption = _PAIRS.loop_closure,
    loop_period: LoopPeriodOption = _PAIRS.loop_period,
    num: Annotated[
        int, typer.Option("--num", min=1, help="With --pairs retrieval: how many images that look alike.")
    ] = _PAIRS.num,
    matcher: Annotated[
        MatcherKind, typer.Option("--matcher", help="Nearest neighbours, or LighterGlue; see `xfeat match --help`.")
    ] = _MATCH.matcher,
    mapper: MapperOption = _MAPPING.mapper,
    single_camera: SingleCameraOption = False,
    camera_per_folder: CameraPerFolderOption = False,
    camera_model: CameraModelOption = _DEFAULT.cameras.model,
    refine_principal_point: RefinePrincipalPointOption = _MAPPING.refine_principal_point,
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME|PATH", help="See `xfeat weights list`.")
    ] = _EXTRACT.weights,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, show_default="4096 sparse, 10000 semi-dense", help="Most features of an image."),
    ] = _EXTRACT.top_k,
    resize: Annotated[
        int, typer.Option("--resize", min=0, metavar="PX", help="Longest side the network sees; 0 = never reduce.")
    ] = _EXTRACT.resize,
    radius: Annotated[
        float, typer.Option("--radius", metavar="PX", min=0.01, help="Semi-dense: points within it are one keypoint.")
    ] = _DEFAULT.aggregation.radius,
    refine: RefineOption = True,
    threads: ThreadsOption = _MAPPING.threads,
    seed: SeedOption = _MAPPING.seed,
    device: DevicesOption = _EXTRACT.device,
    precision: PrecisionOption = _EXTRACT.precision,
    with_report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write OUT_DIR/report/index.html at the end.")
    ] = True,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Reconstruct a folder of photographs: extract, pair, match, refine, verify, map.

    OUT_DIR keeps every stage's file; the same command goes on where it stopped, and makes again only what new images
    change. The model is OUT_DIR/sparse/0, and OUT_DIR/report/index.html
    shows what came of it. Exit code 0: all good; 1: some images or pairs failed; 2: no reconstruction.

    Examples:

      xfeat sfm images/ out/ --single-camera

      xfeat sfm images/ dense/ --mode semi-dense --mapper global

      xfeat sfm frames/ out/ --pairs sequential --quadratic --loop-closure 20
    """
    sharing = camera_sharing(single_camera, camera_per_folder)
    progress = _Progress(quiet=quiet, verbose=verbose)
    with interruptible(progress.console, output):
        from xfeat_cli.jobs.sfm import reconstruct

        config = SfmConfig(
            ExtractConfig(mode=mode, weights=weights, top_k=top_k, resize=resize, device=device, precision=precision),
            PairConfig(
                kinds=(pairs,),
                overlap=overlap,
                quadratic=quadratic,
                loop_closure=loop_closure,
                loop_period=loop_period,
                num=num,
            ),
            MatchConfig(matcher=matcher, device=device, precision=precision),
            AggregateConfig(radius),
            RefineConfig() if refine else None,
            CameraConfig(camera_model, sharing),
            VerificationConfig(threads, seed),
            MappingConfig(mapper, refine_principal_point, threads, seed),
        )
        summary = None
        try:
            summary = reconstruct(images, output, config, overwrite=overwrite, listeners=progress.stage)
        except SfmError:
            page = write_report(images, output, config, None) if with_report else None
            if page is not None:
                typer.echo(f"what there is, {page} shows", err=True)
            raise
        progress.console.close()
        page = write_report(images, output, config, summary) if with_report else None
    if as_json:
        typer.echo(json.dumps({"summary": True, **asdict(summary), "report": page}))
    elif not quiet:
        print_table(summary)
        typer.echo(f"next: open {page}" if page is not None else f"next: xfeat report {output}", err=True)
    raise typer.Exit(1 if summary.problems else 0)


class _Progress:
    """A console for each stage in turn."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self.console = self._make("image", "keypoints")

    def stage(self, name: str) -> Listener:
        self.console.close()
        if not self._quiet:
            typer.echo(f"{name} …", err=True)
        self.console = self._make("image", "keypoints") if name == "extract" else self._make("pair", "matches")
        return self.console

    def _make(self, unit: str, counted: str) -> JobConsole:
        return JobConsole(unit, counted, as_json=False, quiet=self._quiet, verbose=self._verbose)
