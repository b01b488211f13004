"""What a photograph's file says of its camera and of the place where it was taken. No pixel is decoded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfeat_cli.camera_raw import is_raw, sensor_size
from xfeat_cli.heif import teach_pillow

_MAKER, _MODEL, _EXIF_IFD, _GPS_IFD = 0x010F, 0x0110, 0x8769, 0x8825
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM, _LENS_MODEL = 0x920A, 0xA405, 0xA434
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = range(1, 7)

_EXIF_WITHIN = 4 << 20
"""Bytes at the beginning of a raw file that hold its tags."""

FILM_DIAGONAL_MM = 43.27
"""The diagonal of 35 mm film, to which focal lengths are converted, as COLMAP does."""


@dataclass(frozen=True)
class GeoPosition:
    """A position on WGS84. latitude, longitude: degrees, north and east positive. altitude: m, None = not stated.

    signed: whether the file says north or south and east or west; without, the numbers are as they stand there.
    """

    latitude: float
    longitude: float
    altitude: float | None = None
    signed: bool = True


@dataclass(frozen=True)
class Metadata:
    """What could be read; the rest is None or empty.

    size: (width, height) of the stored image. maker, model, lens: as EXIF names them. focal_mm: of the lens;
    focal_35mm: of the lens that would show the same on 35 mm film. encoder: digest of the file's kind and of the
    tables that its encoder used: images of one camera, or of one program, agree in it. position: None also where the
    file states 0° N, 0° E, as receivers do that have found nothing.
    """

    size: tuple[int, int] | None = None
    maker: str = ""
    model: str = ""
    lens: str = ""
    focal_mm: float | None = None
    focal_35mm: float | None = None
    encoder: str = ""
    position: GeoPosition | None = None

    @property
    def names_camera(self) -> bool:
        """Return whether the file says which camera took the image."""
        return bool(self.maker or self.model)

    @property
    def focal_px(self) -> float | None:
        """Return the focal length in pixels of the stored image, where EXIF tells it of 35 mm film."""
        if self.focal_35mm is None or self.size is None:
            return None
        return self.focal_35mm / FILM_DIAGONAL_MM * math.hypot(*self.size)


def read_metadata(path: Path) -> Metadata:
    """Return what a file says of itself; a damaged one, or one of a kind that is not read here, says nothing."""
    try:
        size, encoder, (tags, details, gps) = _read(path)
    except Exception:  # a damaged file raises whatever it pleases
        return Metadata()
    return Metadata(
        size,
        _text(tags.get(_MAKER)),
        _text(tags.get(_MODEL)),
        _text(details.get(_LENS_MODEL)),
        _positive(details.get(_FOCAL_LENGTH)),
        _positive(details.get(_FOCAL_LENGTH_35MM)),
        encoder,
        _position(gps),
    )


Tags = dict[int, Any]


def _read(path: Path) -> tuple[tuple[int, int] | None, str, tuple[Tags, Tags, Tags]]:
    """Return size, encoder, and what EXIF holds: the image's tags, the photograph's, and those of the position."""
    from PIL import Image

    if is_raw(path):
        with open(path, "rb") as file:
            head = file.read(_EXIF_WITHIN)
        # Most raw files are TIFFs, of which Pillow would open the preview.
        return sensor_size(path), "raw", _tags(lambda: _loaded(Image.Exif(), head))
    teach_pillow()
    with Image.open(path) as image:
        return image.size, _encoder(image), _tags(image.getexif)


def _loaded(exif: Any, data: bytes) -> Any:
    exif.load(data)
    return exif


def _tags(read: Callable[[], Any]) -> tuple[Tags, Tags, Tags]:
    try:
        exif = read()
        return dict(exif), dict(exif.get_ifd(_EXIF_IFD)), dict(exif.get_ifd(_GPS_IFD))
    except Exception:  # damaged EXIF raises whatever it pleases
        return {}, {}, {}


def _encoder(image: Any) -> str:
    tables = getattr(image, "quantization", None) or {}
    content = repr((image.format, image.mode, sorted((key, list(table)) for key, table in tables.items())))
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _text(value: Any) -> str:
    return value.strip("\0 ").strip() if isinstance(value, str) else ""


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _position(gps: dict[int, Any]) -> GeoPosition | None:
    try:
        latitude, longitude = _degrees(gps[_LATITUDE]), _degrees(gps[_LONGITUDE])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    refs = (_letter(gps.get(_LATITUDE_REF)), _letter(gps.get(_LONGITUDE_REF)))
    signed = refs[0] in ("N", "S") and refs[1] in ("E", "W")
    if refs[0] == "S":
        latitude = -latitude
    if refs[1] == "W":
        longitude = -longitude
    if not (abs(latitude) <= 90 and abs(longitude) <= 360) or latitude == longitude == 0:
        return None
    return GeoPosition(latitude, longitude, _altitude(gps), signed)


def _altitude(gps: dict[int, Any]) -> float | None:
    try:
        altitude = float(gps[_ALTITUDE])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    below = gps.get(_ALTITUDE_REF) in (1, b"\x01", "\x01")
    return (-altitude if below else altitude) if math.isfinite(altitude) else None


def _degrees(value: Any) -> float:
    """Return degrees, minutes and seconds, as many of them as there are. Raises TypeError, ValueError,
    ZeroDivisionError.
    """
    parts = [float(part) for part in value] if isinstance(value, tuple | list) else [float(value)]
    degrees = sum(part / 60**place for place, part in enumerate(parts[:3]))
    if not parts or not math.isfinite(degrees):
        raise ValueError(f"{value} is no angle")
    return degrees


def _letter(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.strip("\0 ").upper()[:1] if isinstance(text, str) else ""
