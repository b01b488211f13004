"""What a camera's sensor saw → pixels, through LibRaw: the one owner of rawpy (extra `[raw]`)."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy.typing as npt

from xfeat_cli.errors import ImageError
from xfeat_cli.photo_names import RAW_SUFFIXES
from xfeat_cli.raster import check_needed

_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's number of how an image is to be turned → EXIF's."""

_BYTES_FOR_A_PIXEL = 2 + 8 + 3
"""The sensor's, LibRaw's four colours while it develops, and the result."""


def is_raw(path: Path) -> bool:
    """Return whether a file is a camera's raw file, by its name: many are TIFFs that hold a small preview."""
    return os.path.splitext(path)[1].lower() in RAW_SUFFIXES


def develop(data: bytes, path: Path, longest: int) -> tuple[npt.NDArray, tuple[int, int], int, int]:
    """Return pixels (H, W, 3) uint8 in the sensor's frame, with the white balance that the camera noted.

    longest: where the sensor's longest side is at least twice this, each 2×2 block of its pixels becomes one; 0 = none.
    Returns also the sensor's (width, height), how many of its pixels one shows along each axis (1 or 2), and the
    orientation that the camera noted, an EXIF number. Raises ImageError; `path` is for its message only.
    """
    if find_spec("rawpy") is None:
        raise ImageError(f"{path}: a raw file, which is not read without rawpy; pip install 'xfeat-cli[raw]'")
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            size = (raw.sizes.width, raw.sizes.height)
            check_needed(size, size[0] * size[1] * _BYTES_FOR_A_PIXEL, len(data), path)
            halved = bool(longest) and max(size) >= 2 * longest and min(size) >= 2
            orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)  # developing overwrites it
            return _developed(raw, halved), size, 2 if halved else 1, orientation
    except (rawpy.LibRawError, ValueError, RuntimeError) as error:
        reason = str(error).strip("b'\"") or type(error).__name__
        raise ImageError(
            f"{path}: a raw file that is damaged, or of a camera that LibRaw does not know ({reason})"
        ) from None


def sensor_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of a raw file's stored frame; None without rawpy, or where LibRaw does not know it."""
    if find_spec("rawpy") is None:
        return None
    import rawpy

    try:
        with rawpy.RawPy() as raw:
            raw.open_file(str(path))
            return raw.sizes.width, raw.sizes.height
    except (rawpy.LibRawError, ValueError, RuntimeError, OSError):
        return None


def _developed(raw: Any, halved: bool) -> npt.NDArray:
    return raw.postprocess(user_flip=0, half_size=halved, use_camera_wb=True, output_bps=8)
