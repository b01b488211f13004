"""`xfeat sfm IMAGES OUT_DIR`: photographs → a reconstruction."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeat_cli.cli.feature_options import (
    BatchSizeOption,
    DecodingOption,
    DetectionThresholdOption,
    ImageListOption,
    MasksOption,
    MatcherOption,
    MinCossimOption,
    MinScoreOption,
    ModeOption,
    RatioOption,
    ResizeOption,
    RotationsOption,
    TilesOption,
    TopKOption,
    UprightOption,
    WeightsOption,
    WorkersOption,
)
from xfeat_cli.cli.help import MATCHING, OUTPUT, PAIRS
from xfeat_cli.cli.options import (
    BackendOption,
    CameraModelOption,
    CameraOption,
    CameraParamsOption,
    CameraPerFolderOption,
    DevicesOption,
    GeoregisterOption,
    GridsOption,
    JsonOption,
    LoopPeriodOption,
    MapperOption,
    MinConfidenceOption,
    OverlapOption,
    OverwriteOption,
    PrecisionOption,
    QuadraticOption,
    QuietOption,
    RefineOption,
    RefinePrincipalPointOption,
    SeedOption,
    SingleCameraOption,
    SuitedLoopClosureOption,
    ThreadsOption,
    VerboseOption,
    camera_sharing,
)
from xfeat_cli.cli.sfm.progress import SfmProgress
from xfeat_cli.cli.sfm.report import write_report
from xfeat_cli.cli.sfm.table import print_table
from xfeat_cli.cli.terminal.console import interruptible
from xfeat_cli.config import ExtractConfig, MatchConfig, RefineConfig
from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.jobs.video_input import default_config, photographs_of
from xfeat_cli.pairing.config import PairConfig, PairKind
from xfeat_cli.sfm.config import (
    AggregateConfig,
    CameraConfig,
    MappingConfig,
    SfmConfig,
    VerificationConfig,
    parse_params,
)

if TYPE_CHECKING:
    from typing import Any

_DEFAULT = SfmConfig()
_EXTRACT, _PAIRS, _MATCH, _MAPPING = _DEFAULT.extraction, _DEFAULT.pairing, _DEFAULT.matching, _DEFAULT.mapping


def sfm(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder of photographs (walked recursively), or a video.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder for every stage's file and the model.")],
    image_list: ImageListOption = None,
    masks: MasksOption = None,
    mode: ModeOption = _EXTRACT.mode,
    weights: WeightsOption = _EXTRACT.weights,
    top_k: TopKOption = _EXTRACT.top_k,
    resize: ResizeOption = _EXTRACT.resize,
    upright: UprightOption = _EXTRACT.upright,
    rotations: RotationsOption = _EXTRACT.rotations,
    tiles: TilesOption = _EXTRACT.tiles,
    detection_threshold: DetectionThresholdOption = _EXTRACT.detection_threshold,
    grids: GridsOption = _EXTRACT.grids,
    decoding: DecodingOption = _EXTRACT.decoding,
    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="KIND[+KIND…]|FILE",
            show_default="exhaustive; of a video sequential, with --loop-closure 20",
            help="Which images are matched: exhaustive, sequential, retrieval, spatial, poses or covisibility, several "
            "with + between, or a list of pairs.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    overlap: OverlapOption = _PAIRS.overlap,
    quadratic: QuadraticOption = _PAIRS.quadratic,
    loop_closure: SuitedLoopClosureOption = None,
    loop_period: LoopPeriodOption = _PAIRS.loop_period,
    num: Annotated[
        int,
        typer.Option(
            "--num",
            min=1,
            help="Most others an image is paired with: retrieval, spatial, poses, covisibility.",
            rich_help_panel=PAIRS,
        ),
    ] = _PAIRS.num,
    distance: Annotated[
        float,
        typer.Option(
            "--distance", min=0, metavar="D", help="Spatial pairs: farthest partner, metres.", rich_help_panel=PAIRS
        ),
    ] = _PAIRS.distance,
    positions: Annotated[
        Path | None,
        typer.Option(
            "--positions",
            metavar="FILE.csv",
            show_default="GPS from EXIF",
            help="Where the images were taken: name,latitude,longitude[,altitude] or name,x,y[,z].",
            rich_help_panel=PAIRS,
        ),
    ] = _PAIRS.positions,
    pairs_model: Annotated[
        Path | None,
        typer.Option(
            "--pairs-model",
            metavar="MODEL",
            help="The COLMAP model that pairs by poses or covisibility come from.",
            rich_help_panel=PAIRS,
        ),
    ] = _PAIRS.model,
    max_angle_deg: Annotated[
        float,
        typer.Option(
            "--max-angle-deg",
            min=0,
            max=180,
            help="Pairs by poses: most that viewing directions may differ.",
            rich_help_panel=PAIRS,
        ),
    ] = _PAIRS.max_angle_deg,
    matcher: MatcherOption = _MATCH.matcher,
    min_cossim: MinCossimOption = _MATCH.min_cossim,
    ratio: RatioOption = _MATCH.ratio,
    min_confidence: MinConfidenceOption = _MATCH.min_confidence,
    min_score: MinScoreOption = _MATCH.min_score,
    matcher_weights: Annotated[
        str | None,
        typer.Option(
            "--matcher-weights",
            metavar="NAME|PATH",
            show_default="as the features say; lighterglue",
            help="Weights that hold the refiner of semi-dense features, or LighterGlue.",
            rich_help_panel=MATCHING,
        ),
    ] = _MATCH.weights,
    radius: Annotated[
        float,
        typer.Option(
            "--radius",
            metavar="PX",
            min=0.01,
            help="Semi-dense: points within it are one keypoint.",
            rich_help_panel=MATCHING,
        ),
    ] = _DEFAULT.aggregation.radius,
    refine: RefineOption = True,
    camera: CameraOption = None,
    camera_model: CameraModelOption = _DEFAULT.cameras.model,
    camera_params: CameraParamsOption = None,
    single_camera: SingleCameraOption = False,
    camera_per_folder: CameraPerFolderOption = False,
    mapper: MapperOption = _MAPPING.mapper,
    refine_principal_point: RefinePrincipalPointOption = _MAPPING.refine_principal_point,
    georegister: GeoregisterOption = _MAPPING.georegister,
    threads: ThreadsOption = _MAPPING.threads,
    seed: SeedOption = _MAPPING.seed,
    device: DevicesOption = _EXTRACT.device,
    precision: PrecisionOption = _EXTRACT.precision,
    backend: BackendOption = _EXTRACT.backend,
    batch_size: BatchSizeOption = _EXTRACT.batch_size,
    workers: WorkersOption = None,
    with_report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Write OUT_DIR/report/index.html at the end.", rich_help_panel=OUTPUT
        ),
    ] = True,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Reconstruct a folder of photographs or a video: extract, pair, match, refine, verify, map.

    A video becomes sharp frames first, OUT_DIR/frames, which one camera took and which are paired in sequence.
    OUT_DIR keeps every stage's file; the same command goes on where it stopped, and makes again only what changed
    options or photographs change. The model is OUT_DIR/sparse/0, and OUT_DIR/report/index.html shows what came of it.
    Exit code 0: all good; 1: some photographs have no pose, or failed; 2: no reconstruction.

    Examples:

      xfeat sfm photos/ out/

      xfeat sfm clip.mp4 out/

      xfeat sfm photos/ dense/ --mode semi-dense --mapper global

      xfeat sfm frames/ out/ --pairs sequential+retrieval --quadratic

      xfeat sfm photos/ out/ --masks masks/ --pairs my-pairs.txt
    """
    usual = default_config(images)
    sharing = camera_sharing(camera, single_camera, camera_per_folder, usual.cameras.sharing)
    kinds, listed = (usual.pairing.kinds, None) if pairs is None else _pairs(pairs)
    if loop_closure is None:
        loop_closure = usual.pairing.loop_closure if pairs is None else _PAIRS.loop_closure
    params = None if camera_params is None else parse_params(camera_params)
    progress = SfmProgress(quiet=quiet, verbose=verbose)
    progress.begin(f"loading weights {weights} (device {device}, precision {precision.value})")
    started = time.monotonic()
    with interruptible(progress, output):
        from xfeat_cli.images import read_image_list
        from xfeat_cli.jobs.sfm import reconstruct

        config = SfmConfig(
            extraction=ExtractConfig(
                mode=mode,
                weights=weights,
                top_k=top_k,
                resize=resize,
                upright=upright,
                rotations=rotations,
                tiles=tiles,
                detection_threshold=detection_threshold,
                grids=grids,
                decoding=decoding,
                device=device,
                precision=precision,
                backend=backend,
                batch_size=batch_size,
            ),
            pairing=PairConfig(
                kinds=kinds,
                listed=listed,
                overlap=overlap,
                quadratic=quadratic,
                loop_closure=loop_closure,
                loop_period=loop_period,
                num=num,
                distance=distance,
                positions=positions,
                max_angle_deg=max_angle_deg,
                model=pairs_model,
            ),
            matching=MatchConfig(
                matcher=matcher,
                min_cossim=min_cossim,
                ratio=ratio,
                min_confidence=min_confidence,
                min_score=min_score,
                weights=matcher_weights,
                device=device,
                precision=precision,
            ),
            aggregation=AggregateConfig(radius),
            refinement=RefineConfig() if refine else None,
            cameras=CameraConfig(camera_model, sharing, params),
            verification=VerificationConfig(threads, seed),
            mapping=MappingConfig(mapper, refine_principal_point, threads, seed, georegister=georegister),
        )
        options: dict[str, Any] = {
            "image_list": None if image_list is None else read_image_list(image_list),
            "masks": masks,
            "workers": workers,
            "overwrite": overwrite,
            "listeners": progress.stage,
        }
        summary = None
        try:
            summary = reconstruct(images, output, config, **options)
        except SfmError:
            page = write_report(photographs_of(images, output), output, config, None) if with_report else None
            if page is not None:
                typer.echo(f"what there is, {page} shows", err=True)
            raise
        progress.close()
        page = write_report(photographs_of(images, output), output, config, summary) if with_report else None
    if as_json:
        typer.echo(json.dumps({"summary": True, **asdict(summary), "report": page}))
    elif not quiet:
        print_table(summary, time.monotonic() - started)
        typer.echo(f"next: open {page}" if page is not None else f"next: xfeat report {output}", err=True)
    raise typer.Exit(1 if summary.problems else 0)


def _pairs(text: str) -> tuple[tuple[PairKind, ...], Path | None]:
    """Return what `--pairs` names: kinds, or the file of a list. Raises UsageError."""
    known = {kind.value: kind for kind in PairKind}
    names = text.split("+")
    if all(name in known for name in names):
        return tuple(known[name] for name in names), None
    if not Path(text).is_file():
        raise UsageError(f"--pairs {text}: no such file, nor kinds of pairs; those are {', '.join(known)}")
    return _PAIRS.kinds, Path(text)
