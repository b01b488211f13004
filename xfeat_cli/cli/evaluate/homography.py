"""`xfeat eval homography` and `xfeat eval hpatches`: methods compared on photographs that differ by a homography."""

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


def homography(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds images/ and gt.json.")],
    output: OutputOption = Path("xfeat-eval/homography"),
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
    """Measure homographies and matching accuracy on pairs whose homographies a gt.json states.

    gt.json holds {"name0 name1": {"H": 3×3, from pixels of image 0 to pixels of image 1}}. AUC is the area under the
    recall curve of the corners' mean error up to that many px, MMA the share of matches within that many px, both in
    percent.

    Example: xfeat eval homography oxford-affine/ --against sift --against official
    """
    from xfeat_cli.evaluation.homography import evaluate_homographies
    from xfeat_cli.evaluation.homography_sets import read_gt_json
    from xfeat_cli.evaluation.methods import CompareConfig

    config = CompareConfig(weights, tuple(only or ()), tuple(against or ()), top_k, resize, min_cossim, seeds, device)
    benchmark = read_gt_json(folder)
    report(lambda progress: evaluate_homographies(benchmark, config, output, progress), output, as_json, quiet)


def hpatches(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Holds HPatches' i_* and v_* folders.")],
    output: OutputOption = Path("xfeat-eval/hpatches"),
    d2net: Annotated[
        bool, typer.Option("--d2net", help="Without the eight sequences of large images that D2-Net leaves out.")
    ] = False,
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
    """Measure homographies and matching accuracy on HPatches, changes of viewpoint and of light apart.

    The sequences as published: 1.ppm … 6.ppm and H_1_2 … H_1_6 in folders i_* and v_*. The figures are those of `xfeat
    eval homography`.

    Example: xfeat eval hpatches hpatches-sequences-release/ --against sift --against official
    """
    from xfeat_cli.evaluation.homography import evaluate_homographies
    from xfeat_cli.evaluation.homography_sets import LARGE_SEQUENCES, read_hpatches
    from xfeat_cli.evaluation.methods import CompareConfig

    config = CompareConfig(weights, tuple(only or ()), tuple(against or ()), top_k, resize, min_cossim, seeds, device)
    benchmark = read_hpatches(folder, LARGE_SEQUENCES if d2net else ())
    report(lambda progress: evaluate_homographies(benchmark, config, output, progress), output, as_json, quiet)
