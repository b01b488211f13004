"""What each image of a COLMAP model sees of its points, and which images see the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import from_colmap
from xfeat_cli.sfm.reconstruction import read_model
from xfeat_cli.types import FloatArray

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """An image of a model. size: (width, height) of its camera.

    ids: (N,) of the model's points that it sees, ascending; points: (N, 2) float32, where, pixels of the stored image,
    (0, 0) at the centre of the top-left pixel.
    """

    name: str
    size: tuple[int, int]
    ids: IndexArray
    points: FloatArray


def read_views(folder: Path) -> list[View]:
    """The images of a model folder that have a pose, by name. Raises SfmError as `read_model` does."""
    model = read_model(folder)
    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    return [_view(image, model.cameras[image.camera_id]) for image in images]


def covisible_pairs(views: Sequence[View], least: int) -> IndexArray:
    """(P, 2) ascending indices of the views that see at least `least` common points."""
    seen = np.concatenate([view.ids for view in views]) if views else np.zeros(0, np.int64)
    by = np.repeat(np.arange(len(views)), [len(view.ids) for view in views])[np.argsort(seen, kind="stable")]
    ids, first, length = np.unique(np.sort(seen), return_index=True, return_counts=True)
    found = []
    for number, view in enumerate(views):
        tracks = np.searchsorted(ids, view.ids)
        lengths = length[tracks]
        within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        common = np.bincount(by[np.repeat(first[tracks], lengths) + within], minlength=len(views))
        partners = np.flatnonzero(common[number + 1 :] >= least) + number + 1
        found.append(np.column_stack([np.full_like(partners, number), partners]))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def _view(image: Any, camera: Any) -> View:
    observed = image.get_observation_points2D()
    ids, first = np.unique(np.array([point.point3D_id for point in observed], np.int64), return_index=True)
    places = np.array([point.xy for point in observed], np.float64).reshape(-1, 2)[first]
    return View(image.name, (camera.width, camera.height), ids, from_colmap(places).astype(np.float32))
