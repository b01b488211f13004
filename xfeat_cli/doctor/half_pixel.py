"""Which pixel convention keypoints are in, measured: detect again on some images and compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xfeat_cli.config import ExtractConfig
from xfeat_cli.doctor.findings import Finding, Severity
from xfeat_cli.errors import ImageError, StoreError
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.store.reader import KeypointsReader
from xfeat_cli.types import FloatArray
from xfeat_cli.xfeat import XFeat

_IMAGES = 3
_LEAST_KEYPOINTS = 100
_NEAR_PX = 1.5
"""Of the detected image; farther neighbours are other corners."""

_BETWEEN = (0.3, 0.75)
"""Offsets, in pixels of the stored image, that are taken for half a pixel."""


def examine_half_pixel(path: Path, images: Path) -> list[Finding]:
    """Raises WeightsError."""
    offset = measured_offset(path, images)
    if offset is None:
        return []
    if all(_BETWEEN[0] <= abs(side) <= _BETWEEN[1] for side in offset) and offset[0] * offset[1] > 0:
        where = "the corner of the first pixel" if offset[0] > 0 else "a point beyond the first pixel's centre"
        cause = (
            f"keypoints lie {offset[0]:+.2f} {offset[1]:+.2f} px from where the images show them: (0, 0) is {where}, "
            "not its centre"
        )
        remedy = "hloc and xfeat add half a pixel when they import into COLMAP: subtract it from these keypoints first"
        return [Finding(Severity.ERROR, "half-pixel", str(path), cause, remedy)]
    return []


def measured_offset(path: Path, images: Path) -> FloatArray | None:
    """Return mean (x, y), stored px, from keypoints detected now to the file's nearest; None where too few are near."""
    xfeat = XFeat(ExtractConfig(resize=0, top_k=4096))
    offsets = []
    with KeypointsReader(path) as reader:
        for name in reader.names()[:_IMAGES]:
            try:
                stored = reader.load(name).keypoints
                photo = read_photo(ImageFile(name, images / name), 0)
                detected = xfeat.detect_photos([photo])[0].keypoints
            except (ImageError, StoreError):
                continue
            offsets.append(_nearest_offsets(detected, stored))
    near = np.concatenate(offsets) if offsets else np.zeros((0, 2), np.float32)
    return np.median(near, axis=0) if len(near) >= _LEAST_KEYPOINTS else None


def _nearest_offsets(detected: FloatArray, stored: FloatArray) -> FloatArray:
    """Return (N, 2) from each detected keypoint to the nearest stored one, where that is near."""
    if not len(stored):
        return np.zeros((0, 2), np.float32)
    offsets = []
    for point in detected:
        differences = stored - point
        nearest = differences[np.argmin((differences**2).sum(1))]
        if np.abs(nearest).max() <= _NEAR_PX:
            offsets.append(nearest)
    return np.array(offsets, np.float32).reshape(-1, 2)
