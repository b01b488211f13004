"""Positions and the pairs they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xfeat_cli.errors import PairsError
from xfeat_cli.images import ImageFile
from xfeat_cli.metadata import GeoPosition
from xfeat_cli.pairing.positions import (
    east_north_up,
    exif_positions,
    matched_to,
    near_pairs,
    read_positions,
    to_metres,
)


def test_the_nearest_within_the_distance_are_paired() -> None:
    positions = {name: np.array([x, 0.0]) for name, x in (("a", 0), ("b", 1), ("c", 3), ("far", 100))}
    assert list(near_pairs(positions, 1)) == [("a", "b"), ("c", "b"), ("far", "c")]
    assert list(near_pairs(positions, 5, distance=2)) == [("a", "b"), ("b", "c")]


def test_a_degree_is_as_long_as_on_the_ellipsoid() -> None:
    assert np.linalg.norm(to_metres(1, 0, 0) - to_metres(0, 0, 0)) == pytest.approx(110_574, rel=1e-4)
    assert np.linalg.norm(to_metres(0, 1, 0) - to_metres(0, 0, 0)) == pytest.approx(111_319, rel=1e-4)
    assert np.linalg.norm(to_metres(47, 8, 500) - to_metres(47, 8, 400)) == pytest.approx(100)


def test_exif_is_read_and_images_without_it_are_missing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8825] = {1: "S", 2: (33.0, 30.0, 36.0), 3: "E", 4: (151.0, 15.0, 0.0), 5: b"\x00", 6: 20.0}
    Image.new("L", (8, 8)).save(tmp_path / "with.jpg", exif=exif)
    Image.new("L", (8, 8)).save(tmp_path / "without.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    found = exif_positions([ImageFile(path.name, path) for path in sorted(tmp_path.iterdir())])
    assert list(found.places) == ["with.jpg"]
    assert found.geographic["with.jpg"].latitude == pytest.approx(-33.51)
    assert found.geographic["with.jpg"].longitude == pytest.approx(151.25)
    assert found.geographic["with.jpg"].altitude == 20
    assert found.notes == ("2 of 3 images state no position: left out",)


def test_lists_of_plain_and_geographic_positions(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("# made by hand\na b.jpg,1,2\nc.jpg,3,4,5\n")
    assert {name: p.tolist() for name, p in read_positions(path).places.items()} == {
        "a b.jpg": [1, 2, 0],
        "c.jpg": [3, 4, 5],
    }
    path.write_text("name,latitude,longitude\na.jpg,47,8\n")
    assert read_positions(path).geographic["a.jpg"] == GeoPosition(47, 8, 0)


@pytest.mark.parametrize(("text", "message"), [("", "no positions"), ("a,1,2\nb,x,2\n", "line 2"), ("a,1\n", "line 1")])
def test_bad_lists_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(text)
    with pytest.raises(PairsError, match=message):
        read_positions(path)


def _gps(path: Path, gps: dict[int, object]) -> ImageFile:
    exif = Image.Exif()
    exif[0x8825] = gps
    Image.new("L", (8, 8)).save(path, exif=exif)
    return ImageFile(path.name, path)


def test_gps_without_altitude_without_letters_and_at_zero(tmp_path: Path) -> None:
    south = {1: "S", 2: (33.0, 30.0, 0.0), 3: "E", 4: (151.0, 0.0, 0.0)}
    files = [
        _gps(tmp_path / "a.jpg", {**south, 6: 100.0}),
        _gps(tmp_path / "b.jpg", {**south, 6: 300.0}),
        _gps(tmp_path / "no_altitude.jpg", south),
        _gps(tmp_path / "no_letters.jpg", {2: (33.0, 30.0, 0.0), 4: (151.0, 0.0, 0.0), 6: 200.0}),
        _gps(tmp_path / "zero.jpg", {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0), 6: 0.0}),
    ]
    found = exif_positions(files)
    assert list(found.places) == ["a.jpg", "b.jpg", "no_altitude.jpg", "no_letters.jpg"]
    assert found.geographic["no_altitude.jpg"].altitude == 200
    assert found.geographic["no_letters.jpg"].latitude == -33.5
    assert [note.split(":")[0] for note in found.notes] == [
        "1 of 5 images state no position",
        "no_letters.jpg",
        "no_altitude.jpg",
    ]
    assert "taken as SE" in found.notes[1]
    np.testing.assert_allclose([p[:2] for p in found.places.values()], 0, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "name,lon,lat\na,8,47\n",
        "SourceFile,GPSLatitude,GPSLongitude\n./a,47,8\n",
        "Altitude (m);Latitude [deg];Image;Longitude\n0;47;a;8\n",
        "\ufefflat\tlon\tfilename\n47\t8\ta\n",
    ],
)
def test_columns_are_what_their_header_says(tmp_path: Path, text: str) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(text, encoding="utf-8")
    found = read_positions(path).geographic["a"]
    assert (found.latitude, found.longitude) == (47, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [("name,lat,lon\na,147,8\n", "order of the columns"), ("a,b,c\nd,1,2\n", "does not name the columns")],
)
def test_unclear_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(text)
    with pytest.raises(PairsError, match=message):
        read_positions(path)


def test_east_north_and_up() -> None:
    """A degree of latitude is 111.2 km at 47° N, one of longitude 76.06 km (WGS84)."""
    origin = GeoPosition(47, 8, 400)
    np.testing.assert_allclose(east_north_up(GeoPosition(47, 8, 407), origin), [0, 0, 7], atol=1e-6)
    np.testing.assert_allclose(east_north_up(GeoPosition(47.001, 8, 400), origin)[:2], [0, 111.18], atol=0.01)
    np.testing.assert_allclose(east_north_up(GeoPosition(47, 8.001, 400), origin)[:2], [76.06, 0], atol=0.01)


def test_lists_may_name_images_by_longer_or_shorter_paths(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("name,x,y\nproject/images/left/a.jpg,1,0\nb.jpg,2,0\nc.jpg,3,0\n")
    found = matched_to(read_positions(path), ["left/a.jpg", "right/b.jpg", "left/c.jpg", "right/c.jpg"])
    assert {name: place[0] for name, place in found.places.items()} == {"left/a.jpg": 1, "right/b.jpg": 2}
