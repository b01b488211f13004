"""What a photograph says of its camera, as COLMAP reads it."""

from __future__ import annotations

from pathlib import Path

from xfeat_cli.sfm.engine import pycolmap
from xfeat_cli.sfm.model import ModelCamera, model_camera


def camera_of_photograph(path: Path) -> ModelCamera | None:
    """The camera that a photograph's EXIF tells, by COLMAP's table of sensors; None where it tells no focal length."""
    try:
        camera = pycolmap().infer_camera_from_image(path)
    except (RuntimeError, ValueError, OSError):
        return None
    return model_camera(0, camera) if camera.has_prior_focal_length else None
