"""What each image of a COLMAP model sees of its points, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import from_colmap
from xfeat_cli.pairing.models import PosedImages
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
    """Return the images of a model folder that have a pose, by name. Raises SfmError as `read_model` does."""
    model = read_model(folder)
    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    return [_view(image, model.cameras[image.camera_id]) for image in images]


def read_posed(folder: Path) -> PosedImages:
    """Return where the images of a model folder that have a pose stand, where they look and what they see, by name.

    Raises SfmError as `read_model` does.
    """
    images = sorted(
        (image for image in read_model(folder).images.values() if image.has_pose), key=lambda image: image.name
    )
    return PosedImages(
        [image.name for image in images],
        np.array([image.projection_center() for image in images], np.float64).reshape(-1, 3),
        np.array([image.viewing_direction() for image in images], np.float64).reshape(-1, 3),
        [
            np.unique([point.point3D_id for point in image.get_observation_points2D()]).astype(np.int64)
            for image in images
        ],
    )


def _view(image: Any, camera: Any) -> View:
    observed = image.get_observation_points2D()
    ids, first = np.unique(np.array([point.point3D_id for point in observed], np.int64), return_index=True)
    places = np.array([point.xy for point in observed], np.float64).reshape(-1, 2)[first]
    return View(image.name, (camera.width, camera.height), ids, from_colmap(places).astype(np.float32))
