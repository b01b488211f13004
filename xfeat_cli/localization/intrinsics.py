"""Which camera took a photograph: given, the model's, told by EXIF, or guessed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from xfeat_cli.errors import UsageError
from xfeat_cli.metadata import read_metadata
from xfeat_cli.sfm.cameras import focal_px
from xfeat_cli.sfm.model import ModelCamera

_GUESSED_FOCAL = 1.2
"""Longest sides, as COLMAP guesses; the pose's estimation then tries others."""

_PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}


class Source(str, Enum):
    GIVEN = "given"
    MODEL = "model"
    EXIF = "exif"
    GUESSED = "guessed"


def parse_camera(text: str) -> tuple[str, tuple[float, ...]]:
    """Map `MODEL,parameter,…` in COLMAP's names, order and pixels → model and parameters. Raises UsageError."""
    name, *values = (part.strip() for part in text.split(","))
    if name not in _PARAMETERS:
        raise UsageError(f"camera={text}: {name} is none of {', '.join(_PARAMETERS)}")
    try:
        numbers = tuple(float(value) for value in values)
    except ValueError:
        numbers = ()
    if len(numbers) != len(_PARAMETERS[name]):
        raise UsageError(f"camera={text}: {name} has the numbers {','.join(_PARAMETERS[name])}")
    return name, numbers


def choose(
    size: tuple[int, int],
    given: tuple[str, tuple[float, ...]] | None,
    cameras: Sequence[ModelCamera],
    path: Path | None = None,
) -> tuple[ModelCamera, Source]:
    """Return the camera of a photograph of (width, height), and how it is known.

    given: as of `parse_camera`. cameras: the model's; one of them is taken if it is the only one of that size.
    """
    if given is not None:
        name, values = given
        parameters = dict(zip(_PARAMETERS[name], values, strict=True))
        return ModelCamera(0, name, size, parameters, parameters.get("f", parameters.get("fx", 0.0))), Source.GIVEN
    alike = [camera for camera in cameras if camera.size == size and not camera.spherical]
    if len(alike) == 1:
        return alike[0], Source.MODEL
    told = focal_px(read_metadata(path), path, size) if path is not None else None
    width, height = size
    focal = _GUESSED_FOCAL * max(size) if told is None else told
    pinhole = ModelCamera(0, "SIMPLE_PINHOLE", size, {"f": focal, "cx": width / 2, "cy": height / 2}, focal)
    return pinhole, Source.GUESSED if told is None else Source.EXIF
