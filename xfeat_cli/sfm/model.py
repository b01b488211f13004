"""A COLMAP model as plain arrays, for pictures, reports and exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import from_colmap
from xfeat_cli.sfm.reconstruction import read_model

Float64Array = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ModelCamera:
    """What one camera of a model is like.

    number: COLMAP's. model: COLMAP's name. size: (width, height), pixels. parameters: by COLMAP's names, its pixels
    (origin at the corner of the top-left pixel). focal_px: mean of the focal lengths.
    """

    number: int
    model: str
    size: tuple[int, int]
    parameters: dict[str, float]
    focal_px: float

    @property
    def spherical(self) -> bool:
        """Return whether it has no focal length and sees all around."""
        return self.focal_px <= 0


@dataclass(frozen=True)
class ModelImage:
    """A registered image.

    rotation (3, 3), translation (3,): world to camera. points: (N, 2) float32, observations in stored-image pixels,
    (0, 0) at the centre of the top-left pixel. tracks: (N,) rows of the model's points. residuals: (N, 2) float32,
    observation minus projection, pixels; NaN where the point lies behind the camera.
    """

    name: str
    camera: int
    rotation: Float64Array
    translation: Float64Array
    points: npt.NDArray[np.float32]
    tracks: IndexArray
    residuals: npt.NDArray[np.float32]

    @property
    def centre(self) -> Float64Array:
        """Return projection centre (3,), world frame."""
        return -self.rotation.T @ self.translation

    @property
    def errors(self) -> npt.NDArray[np.float32]:
        """Return length of each residual (N,), pixels."""
        return np.linalg.norm(self.residuals, axis=1).astype(np.float32)


@dataclass(frozen=True)
class SparseModel:
    """A model. images: those with a pose, by name; unregistered: names it holds without a pose.

    points: (P, 3). colours: (P, 3) uint8 RGB. track_lengths: (P,) observations of each point.
    """

    folder: Path
    cameras: dict[int, ModelCamera]
    images: list[ModelImage]
    unregistered: list[str]
    points: Float64Array
    colours: npt.NDArray[np.uint8]
    track_lengths: IndexArray


def is_model(folder: Path) -> bool:
    """Return whether a folder holds a COLMAP model, binary or text."""
    return any((folder / f"images.{kind}").is_file() for kind in ("bin", "txt"))


def read_sparse_model(folder: Path) -> SparseModel:
    """Read a COLMAP model folder. Raises SfmError as `read_model` does."""
    model = read_model(folder)
    numbers = np.array(sorted(model.points3D), np.int64)
    points = [model.points3D[number] for number in numbers]
    places = np.array([point.xyz for point in points], np.float64).reshape(-1, 3)
    images = sorted(model.images.values(), key=lambda image: image.name)
    return SparseModel(
        folder=folder,
        cameras={number: model_camera(number, camera) for number, camera in sorted(model.cameras.items())},
        images=[_image(image, model.cameras[image.camera_id], numbers, places) for image in images if image.has_pose],
        unregistered=[image.name for image in images if not image.has_pose],
        points=places,
        colours=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        track_lengths=np.array([point.track.length() for point in points], np.int64),
    )


def shared_points(model: SparseModel) -> tuple[IndexArray, IndexArray]:
    """Return (P, 2) rows of the images that see common points, the first before the second, and how many
    points, (P,).
    """
    count = max(len(model.images), 1)
    image = np.repeat(np.arange(len(model.images)), [len(image.tracks) for image in model.images])
    track = np.concatenate([image.tracks for image in model.images]) if model.images else np.zeros(0, np.int64)
    order = np.lexsort((image, track))
    image, track = image[order], track[order]
    keys = np.zeros(0, np.int64)
    counts = np.zeros(0, np.int64)
    for apart in range(1, len(track)):
        same = track[apart:] == track[:-apart]
        if not same.any():
            break
        found, times = np.unique(image[:-apart][same] * count + image[apart:][same], return_counts=True)
        keys, inverse = np.unique(np.concatenate([keys, found]), return_inverse=True)
        counts = np.bincount(inverse.reshape(-1), np.concatenate([counts, times]), minlength=len(keys)).astype(np.int64)
    apart_images = keys // count != keys % count
    return np.stack([keys // count, keys % count], axis=1)[apart_images], counts[apart_images]


def model_camera(number: int, camera: Any) -> ModelCamera:
    """Return a pycolmap.Camera as plain values."""
    names = [name.strip() for name in camera.params_info.split(",")]
    values = map(float, camera.params)
    focal = float(camera.mean_focal_length()) if len(camera.focal_length_idxs()) else 0.0
    size = (int(camera.width), int(camera.height))
    return ModelCamera(int(number), camera.model.name, size, dict(zip(names, values, strict=False)), focal)


def _image(image: Any, camera: Any, numbers: IndexArray, places: Float64Array) -> ModelImage:
    observed = image.get_observation_points2D()
    tracks = np.searchsorted(numbers, np.array([point.point3D_id for point in observed], np.int64))
    seen = np.array([point.xy for point in observed], np.float64).reshape(-1, 2)
    pose = np.asarray(image.cam_from_world().matrix(), np.float64)
    rotation, translation = pose[:, :3], pose[:, 3]
    projected = np.full_like(seen, np.nan)
    if len(seen):
        # Points behind a camera come back as NaN.
        projected = np.asarray(camera.img_from_cam(places[tracks] @ rotation.T + translation))
    return ModelImage(
        name=image.name,
        camera=int(image.camera_id),
        rotation=rotation,
        translation=translation,
        points=from_colmap(seen).astype(np.float32),
        tracks=tracks,
        residuals=(seen - projected).astype(np.float32),
    )
