"""Measure relative-pose accuracy of matches against known cameras, by poselib's RANSAC over several seeds.

The error of a pair is the larger of the angle between the rotations and the angle between the translation directions;
180° where no pose can be estimated. AUC@t is the area under the recall curve of that error up to t degrees.
Source: the protocol of SuperGlue (Sarlin et al., CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xfeat_cli.cameras import Camera, load_cameras
from xfeat_cli.errors import UsageError
from xfeat_cli.pairing.lists import read_pairs
from xfeat_cli.refinement.pose import adjust_pose
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import FloatArray, Pair, PointMatches


class Matched(NamedTuple):
    """Matched pixels (M, 2) of the first and the second image, and their sigmas (M,) px where those are known."""

    points0: FloatArray
    points1: FloatArray
    sigmas: FloatArray | None = None


THRESHOLDS = (0.25, 0.5, 1.0, 5.0, 10.0, 20.0)
"""Degrees at which the AUC is given."""

VALIDATED_DEG = (5.0, 10.0, 20.0)
"""Those that training shows."""

EPIPOLAR_BOUND = 1e-3
"""A match is precise when its symmetric epipolar distance is below this, in units of the focal length."""

MAX_EPIPOLAR_ERROR = 1.5
"""RANSAC's inlier threshold, px of the stored image."""

_MIN_MATCHES = 8
"""Fewer matches than this agree on a fundamental matrix whatever they are."""


@dataclass(frozen=True)
class PoseAccuracy:
    """auc: percent at each of THRESHOLDS, mean over seeds; auc_std: their standard deviation.

    precision: percent of matches within EPIPOLAR_BOUND of the true epipolar line, mean over pairs that have matches.
    matches: mean count a pair.
    """

    pairs: int
    seeds: int
    auc: tuple[float, ...]
    auc_std: tuple[float, ...]
    precision: float
    matches: float

    def auc_at(self, threshold: float) -> float:
        """Return the AUC at one of THRESHOLDS."""
        return self.auc[THRESHOLDS.index(threshold)]


def evaluate_poses(
    cameras: Path, pairs: Path, matches: Path, features: Path | None = None, seeds: int = 5, *, weighted: bool = True
) -> PoseAccuracy:
    """Return accuracy of a matches file over a list of pairs; a pair without matches counts as failed.

    cameras: cameras.json (K, R, t world-to-camera, pixel centres at integers). features: needed for sparse matches.
    weighted: adjust each pose to the sigmas of its matches, where the file holds them, as after refinement.
    Raises UsageError, PairsError, StoreError.
    """
    wanted, known = load_known(cameras, pairs)
    return score_points(wanted, _matched_points(wanted, matches, features, weighted), known, seeds)


def load_known(cameras: Path, pairs: Path) -> tuple[list[Pair], dict[str, Camera]]:
    """Return a list of pairs, and cameras of all their images. Raises UsageError, PairsError."""
    known = load_cameras(cameras)
    wanted = read_pairs(pairs)
    missing = sorted({name for pair in wanted for name in pair} - known.keys())
    if missing:
        raise UsageError(f"{cameras} has no camera for {', '.join(missing[:3])}; use pairs of images it knows")
    return wanted, known


def score_points(
    pairs: Sequence[Pair], points: Sequence[Matched], cameras: Mapping[str, Camera], seeds: int
) -> PoseAccuracy:
    """Return accuracy of each pair's matched pixels."""
    known = [(cameras[a], cameras[b]) for a, b in pairs]
    errors = np.array(
        [
            [pose_error(*found[:2], *two, seed, found.sigmas) for found, two in zip(points, known, strict=True)]
            for seed in range(seeds)
        ]
    )
    curves = np.array([area_under_recall(one) for one in errors])
    shares = [precise_share(*found[:2], *two) for found, two in zip(points, known, strict=True) if len(found.points0)]
    return PoseAccuracy(
        len(pairs),
        seeds,
        tuple(100 * curves.mean(0)),
        tuple(100 * curves.std(0)),
        100 * float(np.mean(shares)) if shares else 0.0,
        float(np.mean([len(found.points0) for found in points])),
    )


def pose_error(
    points0: FloatArray,
    points1: FloatArray,
    camera0: Camera,
    camera1: Camera,
    seed: int = 0,
    sigmas: FloatArray | None = None,
) -> float:
    """Return error in degrees of the relative pose estimated from matched pixels (M, 2) each.

    sigmas: (M,) px, to which the pose is adjusted at last.
    """
    poselib = require_poselib()
    if len(points0) < 8:
        return 180.0
    pose, _ = poselib.estimate_relative_pose(
        points0.astype(float),
        points1.astype(float),
        _pinhole(camera0),
        _pinhole(camera1),
        {"max_epipolar_error": MAX_EPIPOLAR_ERROR, "max_iterations": 10_000, "seed": seed},
    )
    estimate = (pose.R, pose.t)
    if sigmas is not None:
        estimate = adjust_pose(*estimate, points0, points1, (camera0.K, camera1.K), sigmas)
    rotation, translation = relative_pose(camera0, camera1)
    turn = np.degrees(np.arccos(np.clip((np.trace(estimate[0].T @ rotation) - 1) / 2, -1, 1)))
    along = abs(estimate[1] @ translation) / (np.linalg.norm(estimate[1]) * np.linalg.norm(translation) + 1e-12)
    return float(max(turn, np.degrees(np.arccos(np.clip(along, -1, 1)))))


def area_under_recall(
    errors: Sequence[float] | FloatArray, thresholds: Sequence[float] = THRESHOLDS
) -> tuple[float, ...]:
    """Return AUC in [0, 1] at each of some thresholds of errors in the same unit."""
    ordered = np.concatenate([[0.0], np.sort(np.asarray(errors, float))])
    recall = np.arange(len(ordered)) / max(1, len(ordered) - 1)
    areas = []
    for threshold in thresholds:
        last = int(np.searchsorted(ordered, threshold))
        x = np.append(ordered[:last], threshold)
        y = np.append(recall[:last], recall[last - 1])
        areas.append(float(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2) / threshold))
    return tuple(areas)


def precise_share(points0: FloatArray, points1: FloatArray, camera0: Camera, camera1: Camera) -> float:
    """Return share of matches whose symmetric epipolar distance is below EPIPOLAR_BOUND."""
    rotation, t = relative_pose(camera0, camera1)
    essential = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ rotation
    rays0, rays1 = _rays(points0, camera0), _rays(points1, camera1)
    line1, line0 = rays0 @ essential.T, rays1 @ essential
    squared = (rays1 * line1).sum(1) ** 2 * (1 / (line1[:, :2] ** 2).sum(1) + 1 / (line0[:, :2] ** 2).sum(1))
    return float(np.mean(squared < EPIPOLAR_BOUND**2))


def relative_pose(camera0: Camera, camera1: Camera) -> tuple[FloatArray, FloatArray]:
    """Return rotation (3, 3) and translation (3,) from camera 0's frame to camera 1's."""
    rotation = camera1.R @ camera0.R.T
    return rotation, camera1.t - rotation @ camera0.t


def _matched_points(pairs: Sequence[Pair], matches: Path, features: Path | None, weighted: bool) -> list[Matched]:
    with MatchesReader(matches) as reader:
        found = [reader.load(*pair) if pair in reader else None for pair in pairs]
        sigmas = [reader.sigmas(*pair) if weighted and pair in reader else None for pair in pairs]
    nothing = Matched(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    if all(one is None or isinstance(one, PointMatches) for one in found):
        return [Matched(one.points0, one.points1) if isinstance(one, PointMatches) else nothing for one in found]
    if features is None:
        raise UsageError(f"{matches} holds indices: give the features they belong to as features=FILE")
    points = []
    with KeypointsReader(features) as keypoints:
        for (a, b), one, sigma in zip(pairs, found, sigmas, strict=True):
            if one is None or isinstance(one, PointMatches):
                points.append(nothing)
            else:
                first, second = one.indices.T
                points.append(Matched(keypoints.load(a).keypoints[first], keypoints.load(b).keypoints[second], sigma))
    return points


def _rays(points: FloatArray, camera: Camera) -> FloatArray:
    return np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(camera.K).T


def _pinhole(camera: Camera) -> dict[str, Any]:
    k = camera.K
    width, height = camera.size
    return {"model": "PINHOLE", "width": width, "height": height, "params": [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]}


def consistent(points0: FloatArray, points1: FloatArray, seed: int = 0) -> np.ndarray:
    """Return which matches of pixels (M, 2) each agree on a fundamental matrix: (M,) bool. Raises UsageError without
    poselib.
    """
    poselib: Any = require_poselib()
    if len(points0) < _MIN_MATCHES:
        return np.zeros(len(points0), bool)
    options = {"max_epipolar_error": MAX_EPIPOLAR_ERROR, "seed": seed}
    _, found = poselib.estimate_fundamental(points0.astype(np.float64), points1.astype(np.float64), options, {})
    return np.array(found["inliers"], bool)


def require_poselib() -> Any:
    """Return the module. Raises UsageError when it is missing."""
    try:
        import poselib
    except ImportError:
        raise UsageError("measuring poses needs poselib: pip install 'xfeat-cli[eval]'") from None
    return poselib
