"""Methods compared by the relative poses that their matches give: MegaDepth-1500, ScanNet-1500, PhotoTourism.

Errors and AUC as in `pose`; mAA@10° is the mean recall at 1°, 2°, … 10° (Jin et al., IJCV 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.cameras import Camera
from xfeat_cli.coordinates import rescale
from xfeat_cli.evaluation.comparison import Benchmark, Progress, compare, settings_of
from xfeat_cli.evaluation.methods import CompareConfig, Points
from xfeat_cli.evaluation.pose import (
    MAX_EPIPOLAR_ERROR,
    area_under_recall,
    pose_error,
    precise_share,
    require_poselib,
)
from xfeat_cli.evaluation.scores import Row
from xfeat_cli.types import Features

THRESHOLDS_DEG = (5.0, 10.0, 20.0)
_MEAN_OVER_DEG = tuple(float(degrees) for degrees in range(1, 11))


@dataclass(frozen=True, eq=False)
class PosePair:
    """Two photographs and their cameras, pixels with (0, 0) at the centre of the top-left one.

    A camera of another size than its photograph has intrinsics for that size; size (0, 0) = those of the photograph.
    """

    image0: str
    image1: str
    part: str
    camera0: Camera
    camera1: Camera


def evaluate_pose_pairs(
    benchmark: Benchmark[PosePair], config: CompareConfig, folder: Path, progress: Progress
) -> tuple[list[Row], dict[str, Any]]:
    """Compare methods, and leave results and features in a folder. As `homography.evaluate_homographies`."""
    require_poselib()
    settings = {
        **settings_of(benchmark, config),
        "estimator": "poselib.estimate_relative_pose",
        "inliers_px": MAX_EPIPOLAR_ERROR,
        "iterations": 10_000,
    }
    score, summarise = partial(_score, seeds=config.seeds), partial(_summarised, seeds=config.seeds)
    return compare(benchmark, config, folder, score, summarise, progress, settings, "AUC@10°"), settings


def at_size(camera: Camera, size: tuple[int, int]) -> Camera:
    """Return the camera of a photograph of (width, height) that shows the same."""
    if camera.size in ((0, 0), size):
        return replace(camera, size=size)
    scale = np.array([size[0] / camera.size[0], size[1] / camera.size[1]])
    k = camera.K.copy()
    k[:2, :2] *= scale[:, None]
    k[:2, 2] = rescale(k[:2, 2], scale)
    return replace(camera, K=k, size=size)


def _score(pair: PosePair, points: Points, features0: Features, features1: Features, seeds: int) -> dict[str, float]:
    """Return the pose's error in degrees for each seed, and the share of matches near their true epipolar line."""
    camera0, camera1 = at_size(pair.camera0, features0.image_size), at_size(pair.camera1, features1.image_size)
    values = {_name(seed): pose_error(*points, camera0, camera1, seed) for seed in range(seeds)}
    values["precise"] = precise_share(*points, camera0, camera1) if len(points[0]) else float("nan")
    return values


def _summarised(pairs: Sequence[dict[str, float]], seeds: int) -> dict[str, float]:
    """Return AUC and mAA, mean over seeds, and the mean precision of the pairs that have matches, in percent."""
    errors = np.array([[pair[_name(seed)] for pair in pairs] for seed in range(seeds)])
    areas = 100 * np.mean([area_under_recall(each, THRESHOLDS_DEG) for each in errors], axis=0)
    recalls = [np.mean(errors <= degrees) for degrees in _MEAN_OVER_DEG]
    precise = [pair["precise"] for pair in pairs if not np.isnan(pair["precise"])]
    return {
        **{f"AUC@{at:g}°": float(area) for at, area in zip(THRESHOLDS_DEG, areas, strict=True)},
        "mAA@10°": 100 * float(np.mean(recalls)),
        "precision": 100 * float(np.mean(precise)) if precise else 0.0,
    }


def _name(seed: int) -> str:
    return f"error_deg_seed{seed}"
