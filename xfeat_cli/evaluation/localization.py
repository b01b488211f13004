"""Poses of `xfeat localize` against true cameras, in the frame of the truth.

The model is brought there by the similarity between its own projection centres and the true ones, so the truth needs
cameras of at least three of the model's images too. A query without a pose is an error beyond every threshold.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xfeat_cli.alignment import Similarity, align
from xfeat_cli.cameras import Camera, load_cameras
from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.model import SparseModel, read_sparse_model

Float64Array = npt.NDArray[np.float64]

RECALLS = ((0.05, 5.0), (0.10, 10.0), (0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
"""(unit of the truth, degrees): both errors at most so large. The last three are those of the long-term localisation
benchmark (Sattler et al., CVPR 2018)."""

_LEAST_COMMON = 3


@dataclass(frozen=True)
class LocalizationScore:
    """queries: with a true camera. position_median, rotation_deg_median: over all of them, infinite for those without a
    pose. recalls: percent at each of RECALLS."""

    queries: int
    localised: int
    position_median: float
    rotation_deg_median: float
    recalls: tuple[float, ...]


def score_localization(poses: Path, model: Path, cameras: Path) -> LocalizationScore:
    """poses: the CSV of `xfeat localize`. model: the one that it used. cameras: cameras.json of queries and model.

    Raises UsageError, SfmError.
    """
    truth = load_cameras(cameras)
    similarity = _to_truth(read_sparse_model(model), truth, model, cameras)
    errors = [pose_error(pose, truth[name], similarity) for name, pose in read_poses(poses).items() if name in truth]
    if not errors:
        raise UsageError(f"{cameras} has no camera of a query in {poses}; names must be relative to the same folder")
    position, rotation = np.array(errors).T
    return LocalizationScore(
        len(errors),
        int(np.isfinite(position).sum()),
        float(np.median(position)),
        float(np.median(rotation)),
        tuple(100 * float(np.mean((position <= far) & (rotation <= turned))) for far, turned in RECALLS),
    )


def pose_error(
    pose: tuple[Float64Array, Float64Array] | None, camera: Camera, similarity: Similarity
) -> tuple[float, float]:
    """Return distance of the centres and angle in degrees between a pose (R, t) of the model and a true one."""
    if pose is None:
        return float("inf"), float("inf")
    rotation, translation = pose
    centre = similarity.apply((-rotation.T @ translation)[None])[0]
    turn = rotation @ similarity.rotation.T @ camera.R.T
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return float(np.linalg.norm(centre - camera.center)), float(angle)


def read_poses(path: Path) -> dict[str, tuple[Float64Array, Float64Array] | None]:
    """Return world-to-camera rotation (3, 3) and translation (3,) by name, None where there is no pose. Raises
    UsageError.
    """
    poses: dict[str, tuple[Float64Array, Float64Array] | None] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                poses[row["name"]] = None
                if row["status"] == "ok":
                    numbers = np.array([float(row[key]) for key in ("qw", "qx", "qy", "qz", "tx", "ty", "tz")])
                    poses[row["name"]] = (rotation_of(numbers[:4]), numbers[4:])
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a table of poses, as `xfeat localize` writes it ({error!r})") from None
    return poses


def rotation_of(quaternion: Float64Array) -> Float64Array:
    """Map (4,) w, x, y, z of any length but 0 → (3, 3)."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _to_truth(sparse: SparseModel, truth: Mapping[str, Camera], model: Path, cameras: Path) -> Similarity:
    known = [image for image in sparse.images if image.name in truth]
    if len(known) < _LEAST_COMMON:
        raise UsageError(
            f"{model} and {cameras} have {len(known)} images in common; {_LEAST_COMMON} are needed to align them"
        )
    return align(np.stack([i.centre for i in known]), np.stack([truth[i.name].center for i in known]))
