"""`xfeat eval megadepth1500`, `scannet1500` and `imc`: methods compared by the relative poses of their matches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.evaluate.comparing import (
    AgainstOption,
    MinCossimOption,
    OnlyOption,
    OutputOption,
    ResizeOption,
    SeedsOption,
    TopKOption,
    WeightsOption,
    report,
)
from xfeat_cli.cli.options import DeviceOption, JsonOption, QuietOption

ImagesOption = Annotated[
    Path, typer.Option("--images", metavar="DIR", help="The folder that the index's photographs are relative to.")
]


def megadepth1500(
    index: Annotated[Path, typer.Argument(metavar="DIR", help="LoFTR's megadepth_test_1500_scene_info.")],
    images: ImagesOption,
    output: OutputOption = Path("xfeat-eval/megadepth1500"),
    only: OnlyOption = None,
    against: AgainstOption = None,
    weights: WeightsOption = "default",
    top_k: TopKOption = None,
    resize: ResizeOption = 1200,
    min_cossim: MinCossimOption = None,
    seeds: SeedsOption = 3,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure relative-pose AUC on MegaDepth-1500: the published .npz files of pairs, intrinsics and poses.

    Example: xfeat eval megadepth1500 megadepth_test_1500_scene_info/ --images megadepth/ --against sift
    """
    from xfeat_cli.evaluation.methods import CompareConfig
    from xfeat_cli.evaluation.pose_pairs import evaluate_pose_pairs
    from xfeat_cli.evaluation.pose_sets import read_megadepth1500

    config = CompareConfig(weights, tuple(only or ()), tuple(against or ()), top_k, resize, min_cossim, seeds, device)
    benchmark = read_megadepth1500(index, images)
    report(lambda progress: evaluate_pose_pairs(benchmark, config, output, progress), output, as_json, quiet)


def scannet1500(
    index: Annotated[Path, typer.Argument(metavar="DIR", help="Holds test.npz and intrinsics.npz, as LoFTR's.")],
    images: ImagesOption,
    output: OutputOption = Path("xfeat-eval/scannet1500"),
    only: OnlyOption = None,
    against: AgainstOption = None,
    weights: WeightsOption = "default",
    top_k: TopKOption = None,
    resize: ResizeOption = 1200,
    min_cossim: MinCossimOption = None,
    seeds: SeedsOption = 3,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure relative-pose AUC on ScanNet-1500: test.npz and intrinsics.npz, poses from test.npz or beside the
    photographs.

    Example: xfeat eval scannet1500 scannet_test_1500/ --images scans_test/ --against sift
    """
    from xfeat_cli.evaluation.methods import CompareConfig
    from xfeat_cli.evaluation.pose_pairs import evaluate_pose_pairs
    from xfeat_cli.evaluation.pose_sets import read_scannet1500

    config = CompareConfig(weights, tuple(only or ()), tuple(against or ()), top_k, resize, min_cossim, seeds, device)
    benchmark = read_scannet1500(index, images)
    report(lambda progress: evaluate_pose_pairs(benchmark, config, output, progress), output, as_json, quiet)


def imc(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder a scene: images/ and two CSV files.")],
    output: OutputOption = Path("xfeat-eval/imc"),
    pairs_a_scene: Annotated[
        int, typer.Option("--pairs-a-scene", min=1, help="At most so many pairs of each scene, drawn by a fixed seed.")
    ] = 500,
    only: OnlyOption = None,
    against: AgainstOption = None,
    weights: WeightsOption = "default",
    top_k: TopKOption = None,
    resize: ResizeOption = 1200,
    min_cossim: MinCossimOption = None,
    seeds: SeedsOption = 3,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure relative-pose mAA and AUC on PhotoTourism, as the Image Matching Challenge 2022 publishes it.

    Each scene holds images/, calibration.csv and pair_covisibility.csv; pairs of a covisibility from 0.1 on count.

    Example: xfeat eval imc train/ --pairs-a-scene 200 --against sift
    """
    from xfeat_cli.evaluation.methods import CompareConfig
    from xfeat_cli.evaluation.pose_pairs import evaluate_pose_pairs
    from xfeat_cli.evaluation.pose_sets import read_imc

    config = CompareConfig(weights, tuple(only or ()), tuple(against or ()), top_k, resize, min_cossim, seeds, device)
    benchmark = read_imc(folder, pairs_a_scene)
    report(lambda progress: evaluate_pose_pairs(benchmark, config, output, progress), output, as_json, quiet)
