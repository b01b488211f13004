"""Where images were taken, from EXIF or a list, and which were taken near one another."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import PairsError
from xfeat_cli.images import ImageFile
from xfeat_cli.metadata import GeoPosition, read_metadata
from xfeat_cli.pairing.neighbours import IndexArray, nearest_pairs, negative_squared_distances
from xfeat_cli.types import Pair

Float64Array = npt.NDArray[np.float64]

_EQUATOR_M, _ECCENTRICITY_SQUARED = 6_378_137.0, 6.694379990141e-3
"""The half-axis and the eccentricity of the WGS84 ellipsoid."""

_COLUMNS = {
    "name": ("name", "image", "imagename", "file", "filename", "label", "sourcefile", "path"),
    "latitude": ("latitude", "lat", "gpslatitude"),
    "longitude": ("longitude", "lon", "lng", "long", "gpslongitude"),
    "altitude": ("altitude", "alt", "elevation", "height", "gpsaltitude"),
    "x": ("x", "easting", "east"),
    "y": ("y", "northing", "north"),
    "z": ("z", "up"),
}
"""What a column holds → the headings that say so, without case, spaces, units and signs."""


@dataclass(frozen=True)
class Positions:
    """Where images were taken, in metres, or in the unit of a list of plain coordinates.

    places: (3,) by image name, in one frame. geographic: the same on WGS84, empty where the list is of plain
    coordinates; the places are then east, north and up of `origin`. notes: lines for the user on what was taken how.
    """

    places: dict[str, Float64Array]
    geographic: dict[str, GeoPosition] = field(default_factory=dict)
    origin: GeoPosition | None = None
    notes: tuple[str, ...] = ()


def near_pairs(positions: Mapping[str, Float64Array], count: int, distance: float = np.inf) -> Iterator[Pair]:
    """Yield each image with at most `count` nearest others within `distance`, nearest first; each pair once.

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


def exif_positions(images: Iterable[ImageFile]) -> Positions:
    """Return positions of the images whose EXIF states one. Images that state none are missing."""
    images = list(images)
    stated = {image.name: read_metadata(image.path).position for image in images}
    found = {name: position for name, position in stated.items() if position is not None}
    notes = []
    if len(found) < len(images):
        notes.append(f"{len(images) - len(found)} of {len(images)} images state no position: left out")
    unsigned = [name for name, position in found.items() if not position.signed]
    if unsigned:
        found, letters = _with_signs(found)
        notes.append(f"{_some(unsigned)}: GPS without N or S, E or W; taken as {letters}")
    return _geographic(found, notes)


def read_positions(path: Path) -> Positions:
    """Return a CSV of `name,x,y[,z]`, or with a header that names its columns, in any order → positions.

    Latitude and longitude are degrees of WGS84, altitudes metres. Raises PairsError naming file and line.
    """
    rows = _rows(path)
    columns = dict(zip(("name", "x", "y", "z"), range(4), strict=True))
    if rows and (headed := _header(rows[0][1], path)):
        columns, rows = headed, rows[1:]
    is_geographic = "latitude" in columns
    axes = ("latitude", "longitude", "altitude") if is_geographic else ("x", "y", "z")
    wanted = "name,latitude,longitude[,altitude]" if is_geographic else "name,x,y[,z]"
    values: dict[str, list[float | None]] = {}
    for number, row in rows:
        cells = [row[columns[axis]].strip() if columns.get(axis, len(row)) < len(row) else "" for axis in axes]
        numbers = [_number(cell) for cell in cells]
        if len(row) <= columns["name"] or None in numbers[:2] or (numbers[2] is None and cells[2]):
            raise PairsError(f"{path}, line {number}: write `{wanted}`")
        values[_name(row[columns["name"]])] = numbers
    if not values:
        raise PairsError(f"{path} holds no positions; write one `{wanted}` a line")
    if not is_geographic:
        return Positions({name: np.array([x, y, z or 0.0], np.float64) for name, (x, y, z) in values.items()})
    for name, (latitude, longitude, _) in values.items():
        assert latitude is not None
        assert longitude is not None
        if not (abs(latitude) <= 90 and abs(longitude) <= 360):
            raise PairsError(
                f"{path}: {name} lies at latitude {latitude:g}, longitude {longitude:g}; latitudes are in [-90, 90]: "
                "look at the order of the columns"
            )
    stated = {name: GeoPosition(*numbers) for name, numbers in values.items()}  # type: ignore[arg-type]
    zero = [name for name, position in stated.items() if position.latitude == position.longitude == 0]
    notes = [f"{_some(zero)}: at 0° N, 0° E, where a receiver has found nothing: left out"] if zero else []
    return _geographic({name: position for name, position in stated.items() if name not in zero}, notes)


def matched_to(positions: Positions, names: Sequence[str]) -> Positions:
    """Return the same by the names of images: a list may name them by the end of their paths, or by longer ones."""
    ends: dict[str, list[str]] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            ends.setdefault("/".join(parts[start:]), []).append(name)

    def image(listed: str) -> str | None:
        parts = PurePosixPath(listed).parts
        for start in range(len(parts)):
            found = ends.get("/".join(parts[start:]), [])
            if found:
                return found[0] if len(found) == 1 else None
        return None

    by_name = {listed: listed if listed in set(names) else image(listed) for listed in positions.places}
    renamed = {listed: name for listed, name in by_name.items() if name is not None}
    return replace(
        positions,
        places={name: positions.places[listed] for listed, name in renamed.items()},
        geographic={name: positions.geographic[listed] for listed, name in renamed.items() if positions.geographic},
    )


def to_metres(latitude_deg: float, longitude_deg: float, altitude_m: float) -> Float64Array:
    """Map WGS84 → earth-centred, earth-fixed coordinates (3,), metres."""
    latitude, longitude = np.radians([latitude_deg, longitude_deg])
    normal = _EQUATOR_M / np.sqrt(1 - _ECCENTRICITY_SQUARED * np.sin(latitude) ** 2)
    level = (normal + altitude_m) * np.cos(latitude)
    height = (normal * (1 - _ECCENTRICITY_SQUARED) + altitude_m) * np.sin(latitude)
    return np.array([level * np.cos(longitude), level * np.sin(longitude), height])


def east_north_up(position: GeoPosition, origin: GeoPosition) -> Float64Array:
    """Return where a position lies from an origin on WGS84: (3,) metres east, north and up in the origin's tangent
    plane.
    """
    offset = to_metres(position.latitude, position.longitude, position.altitude or 0.0)
    offset = offset - to_metres(origin.latitude, origin.longitude, origin.altitude or 0.0)
    latitude, longitude = np.radians([origin.latitude, origin.longitude])
    east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
    up = np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    return np.stack([east, np.cross(up, east), up]) @ offset


def _geographic(stated: dict[str, GeoPosition], notes: list[str]) -> Positions:
    """Return positions on WGS84 in metres from their middle; an unknown altitude is the median of the known ones."""
    if not stated:
        return Positions({}, notes=tuple(notes))
    altitudes = [position.altitude for position in stated.values() if position.altitude is not None]
    level = float(np.median(altitudes)) if altitudes else 0.0
    unknown = [name for name, position in stated.items() if position.altitude is None]
    if unknown and altitudes:
        notes = [*notes, f"{_some(unknown)}: GPS without altitude; taken at the median of the others, {level:.0f} m"]
    complete = {
        name: position if position.altitude is not None else replace(position, altitude=level)
        for name, position in stated.items()
    }
    middle = np.median([(position.latitude, position.longitude) for position in complete.values()], axis=0)
    origin = GeoPosition(round(float(middle[0]), 6), round(float(middle[1]), 6), round(level))
    places = {name: east_north_up(position, origin) for name, position in complete.items()}
    return Positions(places, complete, origin, tuple(notes))


def _with_signs(stated: dict[str, GeoPosition]) -> tuple[dict[str, GeoPosition], str]:
    """Positions that name no hemisphere lie in that of most of the others, else north and east; and its letters."""
    south, east = (
        Counter(getattr(position, axis) < 0 for position in stated.values() if position.signed)
        for axis in ("latitude", "longitude")
    )
    signs = [-1 if counts[True] > counts[False] else 1 for counts in (south, east)]
    signed = {
        name: position
        if position.signed
        else replace(position, latitude=signs[0] * position.latitude, longitude=signs[1] * position.longitude)
        for name, position in stated.items()
    }
    return signed, ("S" if signs[0] < 0 else "N") + ("W" if signs[1] < 0 else "E")


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            lines.seek(0)
            separator = max((",", ";", "\t"), key=first.count)
            numbered = enumerate(csv.reader(lines, delimiter=separator), 1)
            return [(number, row) for number, row in numbered if any(map(str.strip, row)) and row[0][:1] != "#"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PairsError(f"{path} cannot be read as a CSV of positions ({error})") from None


def _header(row: list[str], path: Path) -> dict[str, int]:
    """Return what each column holds → its place; empty when the row is no header. Raises PairsError for an
    unclear one.
    """
    if len(row) > 1 and all(_number(cell) is not None for cell in row[1:] if cell.strip()):
        return {}
    columns: dict[str, int] = {}
    for place, heading in enumerate(row):
        plain = re.sub(r"[^a-z]", "", re.sub(r"[\[(].*", "", heading.lower()))
        kind = next((kind for kind, headings in _COLUMNS.items() if plain in headings), None)
        if kind is not None:
            columns.setdefault(kind, place)
    if "name" not in columns or not ({"latitude", "longitude"} <= columns.keys() or {"x", "y"} <= columns.keys()):
        raise PairsError(
            f"{path}: the header {','.join(row)!r} does not name the columns; name them name,latitude,longitude"
            "[,altitude] or name,x,y[,z]"
        )
    return columns


def _name(cell: str) -> str:
    return PurePosixPath(cell.strip().replace("\\", "/")).as_posix()


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
