"""Pinhole cameras whose truth is known: K, R, t and the image's size.

Pixels are (x, y) with (0, 0) at the CENTRE of the top-left pixel. A world point X lies at R·X + t in the camera's
frame (x right, y down, z forward), so `t` is in the world's unit and R is world-to-camera.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import UsageError
from xfeat_cli.files import read_text, write_text

_MOST = 1e9
"""Of any length in px or in the world's unit."""

_ROTATION_TOLERANCE = 1e-3
"""Most that a rotation of rounded numbers may miss R Rᵀ = 1."""

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """A distortion-free camera: `K` (3, 3), `R` (3, 3), `t` (3,), all float64; `size` = (width, height) in pixels."""

    K: Float64Array
    R: Float64Array
    t: Float64Array
    size: tuple[int, int]

    @property
    def center(self) -> Float64Array:
        """Return the projection centre in the world's frame, (3,)."""
        return -self.R.T @ self.t


def project(points: npt.ArrayLike, camera: Camera) -> Float64Array:
    """Return pixels (N, 2) of world points (N, 3); NaN for points that do not lie in front of the camera."""
    in_camera = np.asarray(points, np.float64).reshape(-1, 3) @ camera.R.T + camera.t
    depth = np.where(in_camera[:, 2:] > 0, in_camera[:, 2:], np.nan)
    return (in_camera / depth @ camera.K.T)[:, :2]


def backproject(pixels: npt.ArrayLike, depth: npt.ArrayLike, camera: Camera) -> Float64Array:
    """Return world points (N, 3) seen at pixels (N, 2) with z-depth `depth` (N,), the inverse of `project`."""
    pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(camera.K).T
    return (rays * np.asarray(depth, np.float64).reshape(-1, 1) - camera.t) @ camera.R


def save_cameras(path: Path, cameras: Mapping[str, Camera]) -> None:
    """Write cameras.json, whole or not at all, at full precision."""
    entries = {
        name: {"K": camera.K.tolist(), "R": camera.R.tolist(), "t": camera.t.tolist(), "size": list(camera.size)}
        for name, camera in cameras.items()
    }
    write_text(path, json.dumps(entries))


def load_cameras(path: Path) -> dict[str, Camera]:
    """Read a cameras.json (`save_cameras`, or the shared scenes'); keys are image names.

    Raises UsageError when the file cannot be read or has another layout.
    """
    try:
        return {name: _camera(entry, name) for name, entry in json.loads(read_text(path)).items()}
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        raise UsageError(f"{path} is not a cameras.json: an object of K, R, t, size by image name ({reason})") from None


def _camera(entry: Any, name: str) -> Camera:
    """Return one camera of a file. Raises ValueError for numbers that no camera has, and what a wrong layout raises."""
    calibration, rotation = (np.asarray(entry[key], np.float64).reshape(3, 3) for key in "KR")
    translation = np.asarray(entry["t"], np.float64).reshape(3)
    width, height = map(int, list(entry["size"]) if isinstance(entry["size"], list) else [])
    size = width, height
    checks = {
        "R is no rotation": _is_rotation(rotation),
        "t is not finite or beyond all measure": np.abs(translation).max() <= _MOST,
        "K is no calibration": np.abs(calibration).max() <= _MOST and calibration[0, 0] > 0 and calibration[1, 1] > 0,
        "K does not end in 0 0 1": np.array_equal(calibration[2], [0, 0, 1]),
        "size is no image's": min(size) > 0 and max(size) <= _MOST,
    }
    wrong = [problem for problem, fine in checks.items() if not fine]
    if wrong:
        raise ValueError(f"{name!r}: {'; '.join(wrong)}")
    return Camera(calibration, rotation, translation, size)


def _is_rotation(matrix: Float64Array) -> bool:
    if not np.abs(matrix).max() <= 1 + _ROTATION_TOLERANCE:
        return False
    error = np.abs(matrix @ matrix.T - np.eye(3)).max()
    return bool(error <= _ROTATION_TOLERANCE and np.linalg.det(matrix) > 0)
