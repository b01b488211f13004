"""A COLMAP model against true cameras: similarity alignment of the projection centres, then pose errors.

cameras.json states pixels with (0, 0) at the centre of the top-left pixel and COLMAP at its corner. Poses do not depend
on that, so nothing here is shifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xfeat_cli.alignment import align
from xfeat_cli.cameras import load_cameras
from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.reconstruction import read_model

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SfmScore:
    """A model's errors; None where too few images are registered to align it (three are needed).

    registered: images of cameras.json with a pose in the model, of `images`.
    rotation_deg_mean: mean angle between estimated and true rotations after alignment, degrees.
    position_error_mean: mean distance of projection centres after alignment, in cameras.json's unit.
    points, mean_track_length, reprojection_px: of the model.
    """

    registered: int
    images: int
    rotation_deg_mean: float | None
    position_error_mean: float | None
    points: int
    mean_track_length: float
    reprojection_px: float


def score_model(model: Path, cameras: Path) -> SfmScore:
    """Compare a COLMAP model folder with a cameras.json (K, R, t world-to-camera by image name).

    Raises UsageError when cameras.json cannot be read or shares no image name with the model, SfmError for the model.
    """
    truth = {name: np.column_stack([camera.R, camera.t]) for name, camera in load_cameras(cameras).items()}
    found = read_model(model)
    estimate = {
        image.name: image.cam_from_world().matrix()
        for image in found.images.values()
        if image.has_pose and image.name in truth
    }
    if not estimate:
        raise UsageError(f"{model} and {cameras} have no image in common; names must be relative to the same folder")
    names = sorted(estimate)
    poses = np.stack([estimate[name] for name in names])
    true_poses = np.stack([truth[name] for name in names])
    rotation, position = pose_errors(poses, true_poses) if len(names) >= 3 else (None, None)
    return SfmScore(
        registered=len(names),
        images=len(truth),
        rotation_deg_mean=None if rotation is None else float(rotation.mean()),
        position_error_mean=None if position is None else float(position.mean()),
        points=found.num_points3D(),
        mean_track_length=found.compute_mean_track_length(),
        reprojection_px=found.compute_mean_reprojection_error(),
    )


def pose_errors(poses: Float64Array, truth: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return angles (N,) in degrees and centre distances (N,) in truth's unit, after aligning the centres by a
    similarity.

    poses, truth: (N, 3, 4) world-to-camera, N ≥ 3.
    """
    similarity = align(_centres(poses), _centres(truth))
    position = np.linalg.norm(similarity.apply(_centres(poses)) - _centres(truth), axis=1)
    in_truth_frame = poses[:, :, :3] @ similarity.rotation.T
    return _angles_deg(in_truth_frame @ truth[:, :, :3].swapaxes(1, 2)), position


def _centres(poses: Float64Array) -> Float64Array:
    return -np.einsum("nij,ni->nj", poses[:, :, :3], poses[:, :, 3])


def _angles_deg(rotations: Float64Array) -> Float64Array:
    """Return angles of (N, 3, 3); by their chord, which stays exact near zero."""
    chord = np.linalg.norm(rotations - np.eye(3), axis=(1, 2))
    return np.degrees(2 * np.arcsin(np.clip(chord / np.sqrt(8), 0, 1)))
