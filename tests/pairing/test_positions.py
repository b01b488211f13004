"""Positions and the pairs they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xfeat_cli.errors import PairsError
from xfeat_cli.images import ImageFile
from xfeat_cli.pairing.positions import exif_positions, near_pairs, read_positions, to_metres


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
    assert list(found) == ["with.jpg"]
    np.testing.assert_allclose(found["with.jpg"], to_metres(-33.51, 151.25, 20), atol=0.01)


def test_lists_of_plain_and_geographic_positions(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("# made by hand\na b.jpg,1,2\nc.jpg,3,4,5\n")
    assert {name: p.tolist() for name, p in read_positions(path).items()} == {"a b.jpg": [1, 2, 0], "c.jpg": [3, 4, 5]}
    path.write_text("name,latitude,longitude\na.jpg,47,8\n")
    np.testing.assert_allclose(read_positions(path)["a.jpg"], to_metres(47, 8, 0))


@pytest.mark.parametrize(("text", "message"), [("", "no positions"), ("a,1,2\nb,x,2\n", "line 2"), ("a,1\n", "line 1")])
def test_bad_lists_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(text)
    with pytest.raises(PairsError, match=message):
        read_positions(path)
