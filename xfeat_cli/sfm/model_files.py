"""Whether the binary files of a COLMAP model hold as much as they claim.

COLMAP believes every count in them: eight bytes of garbage make it ask for all the memory there is.
"""

from __future__ import annotations

import struct
from pathlib import Path

from xfeat_cli.errors import SfmError

_COUNT = struct.Struct("<Q")
_IMAGE, _OBSERVATION = 64, 24
"""Bytes of an image before its name (number, pose, camera), and of each of its observations."""
_POINT, _ELEMENT = 43, 8
"""Bytes of a point before its track (number, place, colour, error), and of each element of the track."""
_LEAST_CAMERA = 24


def check_model_files(folder: Path) -> None:
    """Raise SfmError when cameras.bin, images.bin or points3D.bin claims more than it holds."""
    for name, check in (("cameras", _cameras), ("images", _images), ("points3D", _points)):
        path = folder / f"{name}.bin"
        if not path.is_file():
            continue
        try:
            whole = check(path.read_bytes())
        except (struct.error, ValueError):
            whole = False
        if not whole:
            raise SfmError(f"{path} is damaged: it claims more than it holds; make the model again")


def _cameras(data: bytes) -> bool:
    return _COUNT.unpack_from(data)[0] * _LEAST_CAMERA <= len(data)


def _images(data: bytes) -> bool:
    count, at = _COUNT.unpack_from(data)[0], _COUNT.size
    for _ in range(count):
        at = data.index(b"\0", at + _IMAGE) + 1
        at += _COUNT.size + _OBSERVATION * _COUNT.unpack_from(data, at)[0]
        if at > len(data):
            return False
    return True


def _points(data: bytes) -> bool:
    count, at = _COUNT.unpack_from(data)[0], _COUNT.size
    for _ in range(count):
        at += _POINT
        at += _COUNT.size + _ELEMENT * _COUNT.unpack_from(data, at)[0]
        if at > len(data):
            return False
    return True
