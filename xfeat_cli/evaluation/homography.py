"""Matches of photographs whose views differ by a known homography: planar scenes, or a camera that only turned.

A pair is scored by two things. Its matching accuracy is the share of matches whose point in image 0, moved by the true
homography, lies within some pixels of the point in image 1 (Mikolajczyk and Schmid, PAMI 2005; mean over pairs: MMA).
Its corner error is the mean distance between the four corners of image 0 as moved by the estimated homography and by
the true one; the estimate is poselib's, over several seeds, and AUC@t is the area under the recall curve of that error
up to t pixels (SuperGlue, CVPR 2020). Pixels are those of image 1 as stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.evaluation.comparison import Benchmark, Progress, compare, settings_of
from xfeat_cli.evaluation.methods import CompareConfig, Points
from xfeat_cli.evaluation.pose import area_under_recall, require_poselib
from xfeat_cli.evaluation.scores import Row
from xfeat_cli.types import Features, FloatArray

ACCURACIES_PX = CORNER_ERRORS_PX = (1.0, 3.0, 5.0)

MAX_REPROJECTION_ERROR = 3.0
"""The estimator's inlier threshold, px."""

_LEAST_MATCHES = 4
_ITERATIONS = 10_000


@dataclass(frozen=True, eq=False)
class HomographyPair:
    """homography: (3, 3), pixels of image 0 → pixels of image 1, (0, 0) at the centre of the top-left pixel."""

    image0: str
    image1: str
    part: str
    homography: FloatArray


def transfer(points: FloatArray, homography: FloatArray) -> FloatArray:
    """Return points (N, 2) moved by a homography; infinite where it sends them to infinity."""
    moved = np.column_stack([points, np.ones(len(points))]) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return moved[:, :2] / moved[:, 2:]


def matching_accuracy(points: Points, homography: FloatArray) -> dict[float, float]:
    """Return, for each of ACCURACIES_PX, the share of matches within it, 0 without matches."""
    if not len(points[0]):
        return dict.fromkeys(ACCURACIES_PX, 0.0)
    errors = np.linalg.norm(transfer(points[0], homography) - points[1], axis=1)
    return {bound: float(np.mean(errors <= bound)) for bound in ACCURACIES_PX}


def corner_error(estimate: FloatArray, homography: FloatArray, size: tuple[int, int]) -> float:
    """Return mean distance of the corners of an image of (width, height) as two homographies move them."""
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    error = np.linalg.norm(transfer(corners, estimate) - transfer(corners, homography), axis=1).mean()
    return float(error) if np.isfinite(error) else float("inf")


def estimate_homography(points: Points, seed: int) -> FloatArray | None:
    """Return poselib's estimate (3, 3) from matched points, or None where there is none. Raises UsageError without
    poselib.
    """
    poselib: Any = require_poselib()
    if len(points[0]) < _LEAST_MATCHES:
        return None
    estimate, _ = poselib.estimate_homography(
        points[0].astype(float),
        points[1].astype(float),
        {"max_reproj_error": MAX_REPROJECTION_ERROR, "max_iterations": _ITERATIONS, "seed": seed},
    )
    return np.asarray(estimate) if np.isfinite(estimate).all() else None


def evaluate_homographies(
    benchmark: Benchmark[HomographyPair], config: CompareConfig, folder: Path, progress: Progress
) -> tuple[list[Row], dict[str, Any]]:
    """Compare methods, and leave results and features in a folder.

    Returns the rows, and the settings that they are to be read with.

    Raises UsageError, WeightsError, ImageError, StoreError.
    """
    require_poselib()
    settings = {
        **settings_of(benchmark, config),
        "estimator": "poselib.estimate_homography",
        "inliers_px": MAX_REPROJECTION_ERROR,
        "iterations": _ITERATIONS,
    }
    score, summarise = partial(_score, seeds=config.seeds), partial(_summarised, seeds=config.seeds)
    return compare(benchmark, config, folder, score, summarise, progress, settings, "AUC@3px"), settings


def _score(
    pair: HomographyPair, points: Points, features0: Features, features1: Features, seeds: int
) -> dict[str, float]:
    """Return the pair's matching accuracies, and its corner error for each seed."""
    values = {_accuracy_name(bound): share for bound, share in matching_accuracy(points, pair.homography).items()}
    for seed in range(seeds):
        estimate = estimate_homography(points, seed)
        values[_error_name(seed)] = (
            float("inf") if estimate is None else corner_error(estimate, pair.homography, features0.image_size)
        )
    return values


def _summarised(pairs: Sequence[dict[str, float]], seeds: int) -> dict[str, float]:
    """Return AUC, mean over seeds, and mean matching accuracy, in percent."""
    curves = [area_under_recall([pair[_error_name(seed)] for pair in pairs], CORNER_ERRORS_PX) for seed in range(seeds)]
    areas = zip(CORNER_ERRORS_PX, 100 * np.mean(curves, axis=0), strict=True)
    return {
        **{f"AUC@{bound:g}px": float(area) for bound, area in areas},
        **{
            f"MMA@{bound:g}px": 100 * float(np.mean([pair[_accuracy_name(bound)] for pair in pairs]))
            for bound in ACCURACIES_PX
        },
    }


def _accuracy_name(bound: float) -> str:
    return f"within_{bound:g}px"


def _error_name(seed: int) -> str:
    return f"corner_error_px_seed{seed}"
