"""Where images were taken, from EXIF or a list, and which were taken near one another."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import PairsError
from xfeat_cli.images import ImageFile
from xfeat_cli.pairing.neighbours import IndexArray, nearest_pairs, negative_squared_distances
from xfeat_cli.types import Pair

Float64Array = npt.NDArray[np.float64]

_GPS_IFD = 0x8825
_GPS_LATITUDE_REF, _GPS_LATITUDE, _GPS_LONGITUDE_REF, _GPS_LONGITUDE, _GPS_ALTITUDE_REF, _GPS_ALTITUDE = range(1, 7)
_EQUATOR_M, _ECCENTRICITY_SQUARED = 6_378_137.0, 6.694379990141e-3
"""The half-axis and the eccentricity of the WGS84 ellipsoid."""


def near_pairs(positions: Mapping[str, Float64Array], count: int, distance: float = np.inf) -> Iterator[Pair]:
    """Each image with at most `count` nearest others within `distance`, nearest first; each pair once.

    positions: (2,) or (3,) by image name, in the unit of `distance`.
    """
    names = list(positions)
    at = np.array([positions[name] for name in names], np.float64)

    def score(rows: IndexArray, columns: IndexArray) -> Float64Array:
        nearness = negative_squared_distances(at[rows], at[columns])
        nearness[nearness < -(distance**2)] = -np.inf
        return nearness

    for one, other in nearest_pairs(len(names), count, score):
        yield names[one], names[other]


def read_positions(path: Path) -> dict[str, Float64Array]:
    """A CSV of `name,x,y[,z]`, or with a header that holds `name,latitude,longitude[,altitude]` (degrees, m) → metres.

    Raises PairsError naming file and line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(lines), 1) if row and not row[0].startswith("#")
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PairsError(f"{path} cannot be read as a CSV of positions ({error})") from None
    geographic = False
    if rows and len(rows[0][1]) > 1 and not _is_number(rows[0][1][1]):
        geographic = rows[0][1][1].strip().lower() in ("latitude", "lat")
        rows = rows[1:]
    positions = {}
    for number, row in rows:
        if len(row) not in (3, 4) or not all(map(_is_number, row[1:])):
            raise PairsError(f"{path}, line {number}: write `name,x,y[,z]`")
        values = np.array([*map(float, row[1:]), 0.0][:3])
        positions[row[0].strip()] = to_metres(*values) if geographic else values
    if not positions:
        raise PairsError(f"{path} holds no positions; write one `name,x,y[,z]` a line")
    return positions


def exif_positions(images: Iterable[ImageFile]) -> dict[str, Float64Array]:
    """Positions of the images whose EXIF states one, earth-centred, metres. The others are missing."""
    found = {image.name: _exif_position(image.path) for image in images}
    return {name: position for name, position in found.items() if position is not None}


def to_metres(latitude_deg: float, longitude_deg: float, altitude_m: float) -> Float64Array:
    """WGS84 → earth-centred, earth-fixed coordinates (3,), metres."""
    latitude, longitude = np.radians([latitude_deg, longitude_deg])
    normal = _EQUATOR_M / np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    level = (normal + altitude_m) * np.cos(latitude)
    height = (normal * (1 - _ECCENTRICITY_SQUARED) + altitude_m) * np.sin(latitude)
    return np.array([level * np.cos(longitude), level * np.sin(longitude), height])


def _exif_position(path: Path) -> Float64Array | None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            gps = image.getexif().get_ifd(_GPS_IFD)
        latitude = _degrees(gps[_GPS_LATITUDE], gps[_GPS_LATITUDE_REF] in ("S", b"S"))
        longitude = _degrees(gps[_GPS_LONGITUDE], gps[_GPS_LONGITUDE_REF] in ("W", b"W"))
        below = gps.get(_GPS_ALTITUDE_REF) in (1, b"\x01")
        altitude = float(gps.get(_GPS_ALTITUDE, 0)) * (-1 if below else 1)
        position = to_metres(latitude, longitude, altitude)
    except Exception:  # damaged EXIF raises whatever it pleases; such an image has no position
        return None
    return position if np.isfinite(position).all() else None


def _degrees(parts: tuple[float, float, float], negative: bool) -> float:
    degrees, minutes, seconds = map(float, parts)
    return (degrees + minutes / 60 + seconds / 3600) * (-1 if negative else 1)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
