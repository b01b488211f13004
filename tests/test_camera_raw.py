from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xfeat_cli import camera_raw
from xfeat_cli.decoding import decode_reduced, to_gray
from xfeat_cli.errors import ImageError
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.metadata import read_metadata

from .dng import encode_dng

MOSAIC = np.add.outer(np.arange(95) * 200, np.arange(127) * 300).astype(np.uint16)
"""Gray, brighter to the right and to the bottom, so neighbours of all colours agree."""

needs_rawpy = pytest.mark.skipif(find_spec("rawpy") is None, reason="raw files need the extra [raw]")


@needs_rawpy
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_stored_frame_is_the_sensors(orientation: int) -> None:
    decoded = decode_reduced(encode_dng(MOSAIC, orientation), Path("a.DNG"))
    assert (decoded.size, decoded.shown, decoded.orientation) == ((127, 95), (127, 95), orientation)
    assert decoded.pixels.shape == (95, 127, 3)
    gray = to_gray(decoded.pixels)
    assert (np.diff(gray[:, ::20]) > 0).all()
    assert (np.diff(gray[::20], axis=0) > 0).all()


@needs_rawpy
def test_a_sensor_of_twice_the_size_is_halved_block_by_block() -> None:
    whole, half = (decode_reduced(encode_dng(MOSAIC), Path("a.dng"), longest) for longest in (0, 60))
    assert (half.size, half.shown, half.pixels.shape) == ((127, 95), (126, 94), (47, 63, 3))
    blocks = to_gray(whole.pixels)[:94, :126].reshape(47, 2, 63, 2).mean((1, 3))[2:-2, 2:-2]
    gray = to_gray(half.pixels)[2:-2, 2:-2]
    np.testing.assert_allclose(
        gray / gray.mean(), blocks / blocks.mean(), atol=0.03
    )  # each has a brightness of its own


@needs_rawpy
def test_a_raw_photograph_is_seen_upright(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(encode_dng(MOSAIC, 6))
    photo = read_photo(ImageFile("a.dng", tmp_path / "a.dng"), 0)
    assert (photo.size, photo.orientation, photo.gray.shape) == ((127, 95), 6, (127, 95))


@needs_rawpy
@pytest.mark.parametrize("data", [b"x" * 500, encode_dng(MOSAIC)[:3000], b"II*\0\x08\0\0\0\0\0\0\0\0\0"])
def test_damaged_raw_files_are_one_error(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"a\.nef: .*damaged") as error:
        decode_reduced(data, Path("a.nef"))
    assert "\n" not in str(error.value)


@needs_rawpy
def test_a_raw_file_that_claims_absurd_sizes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_raw, "_BYTES_FOR_A_PIXEL", 1 << 20)
    with pytest.raises(ImageError, match="127x95 pixels would take"):
        decode_reduced(encode_dng(MOSAIC), Path("a.dng"))


@needs_rawpy
def test_the_size_is_known_without_developing(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(encode_dng(MOSAIC, 6))
    (tmp_path / "b.dng").write_bytes(b"nothing")
    assert camera_raw.sensor_size(tmp_path / "a.dng") == (127, 95)
    assert camera_raw.sensor_size(tmp_path / "b.dng") is None
    assert camera_raw.sensor_size(tmp_path / "none.dng") is None
    said = read_metadata(tmp_path / "a.dng")
    assert (said.size, said.maker, said.model) == ((127, 95), "Maker", "Model")


def test_without_rawpy_a_raw_file_is_not_taken_for_its_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_raw, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"xfeat-cli\[raw\]"):
        decode_reduced(encode_dng(MOSAIC), Path("a.dng"))
