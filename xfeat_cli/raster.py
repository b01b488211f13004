"""An opened image → its pixels: right or refused, in memory that is bounded by the size of the file.

Alpha is dropped, whatever colours it hides. Of several frames the first counts. A single band of more than 8 bits is
taken for a measurement (thermal, radar, a scanner's): where its values fill a small part of their type, they are
scaled to their own range, since the network would see no contrast otherwise. Floating-point bands always are.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from xfeat_cli.errors import ImageError

MEMORY_VARIABLE = "XFEAT_IMAGE_MEMORY_MB"
"""Environment variable: memory that decoding one image may take, whatever the size of its file."""

_LEAST_MEMORY = 1 << 30
_MEMORY_PER_FILE_BYTE = 60
"""No photograph's file is a sixtieth of what decoding it takes; a file that claims so is damaged or malicious."""

_DECODER_BYTES = {"WEBP": 4, "AVIF": 8, "JPEG2000": 13}
"""What a format's decoder takes beside the pixels that it gives, for each of them."""

_GRAY = ("L", "LA", "La", "1")

_ROWS_AT_ONCE = 256
_LARGE = 32_000_000
"""Pixels from which memory counts more than the last bit of speed."""

_OUTLIERS = 0.0005
"""Share of pixels at each end of the range that scaling ignores: dead pixels, the sun."""

_SAMPLED = 4_000_000
"""About how many pixels tell the range of an image."""

_SMALL_PART = 1 / 8
"""Of its type's range: what a low-contrast image fills at most."""

_BITS, _SAMPLES, _PLANAR, _FORMAT = 258, 277, 284, 339
"""TIFF tags."""

_TYPES = {1: "unsigned integers", 2: "signed integers", 3: "floating-point numbers"}


def check_claims(image: Image.Image, file_bytes: int, path: Path, reduced: int = 1) -> None:
    """Raise ImageError where decoding would take far more memory than the file's size warrants.

    reduced: how many times smaller in each direction the decoder makes the image.
    """
    width, height = image.size
    check_needed((width, height), width * height * _bytes_for_a_pixel(image) // reduced**2, file_bytes, path)


def check_needed(size: tuple[int, int], needed: int, file_bytes: int, path: Path) -> None:
    """Raise ImageError where `needed` bytes, for an image of `size`, are far more than the file's size warrants."""
    width, height = size
    allowed = max(_LEAST_MEMORY, _MEMORY_PER_FILE_BYTE * file_bytes, _asked_for())
    if needed > allowed:
        raise ImageError(
            f"{path}: {width}x{height} pixels would take {needed / 1e9:.1f} GB to decode, from a file of "
            f"{file_bytes / 1e6:.1f} MB; reduce it or cut it into tiles, or allow more with {MEMORY_VARIABLE}="
            f"{needed // 1_000_000 + 1}"
        )


def _bytes_for_a_pixel(image: Image.Image) -> int:
    """Return what decoding takes: in Pillow's memory, in the array that is made of it, and in the decoder."""
    decoder = _DECODER_BYTES.get(image.format or "", 0)
    if _is_deep_colour(image):
        return 12
    if image.format in ("JPEG", "MPO") or _is_for_opencv(image):
        return 2 if image.mode == "L" else 6
    gray = image.mode in _GRAY
    if image.mode == "F" or image.mode.startswith("I"):
        return (2 if ";16" in image.mode else 4) + 2 + decoder
    return (1 if image.mode in ("1", "L", "P") else 4) + (1 if gray else 3) + decoder


def pixels_of(image: Image.Image, data: bytes, path: Path) -> npt.NDArray:
    """Return (H, W) or (H, W, 3) uint8 or uint16 of an opened image whose bytes are `data`. Raises ImageError.

    Pillow and OpenCV turn a TIFF upright unasked; this does not undo it.
    """
    if image.format == "TIFF":
        _check_bands(image, path)
    if image.format == "PNG":
        _check_sums(data, path)
    if _is_deep_colour(image):
        return _with_opencv(image, data, path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if _is_for_opencv(image):
        return _with_opencv(image, data, path, cv2.IMREAD_GRAYSCALE if image.mode == "L" else cv2.IMREAD_COLOR)
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        return _measured(image, path)
    return _in_strips(image, "L" if image.mode in _GRAY else "RGB")


def describe_unread(data: bytes) -> str | None:
    """Return what a TIFF that Pillow does not know holds: bands and type; None for what is no TIFF."""
    if data[:2] not in (b"II", b"MM"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_big = 43 in data[2:4]  # BigTIFF, with a longer header
            directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if is_big else 8])
            file = io.BytesIO(data)
            file.seek(directory.next)
            directory.load(file)
            return _bands(directory)
    except Exception:  # damaged directories raise whatever they please
        return None


def _bands(tags: Any) -> str:
    bits, kinds = _numbers(tags, _BITS, 1), _numbers(tags, _FORMAT, 1)
    count = max(int(tags.get(_SAMPLES, 1)), 1)
    kind = _TYPES.get(kinds[0], "values of an unknown type")
    return f"{count} band{'s' if count > 1 else ''} of {bits[0]}-bit {kind}"


def _check_bands(image: Image.Image, path: Path) -> None:
    """Refuse what Pillow or OpenCV would decode to noise."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    several = int(tags.get(_SAMPLES, 1)) > 1
    if several and int(tags.get(_PLANAR, 1)) == 2 and max(_numbers(tags, _BITS, 1)) > 8:
        raise ImageError(
            f"{path}: {_bands(tags)} in separate planes, which are not read; interleave them, for example with "
            "`gdal_translate -co INTERLEAVE=PIXEL`"
        )
    if several and (set(_numbers(tags, _FORMAT, 1)) - {1} or max(_numbers(tags, _BITS, 1)) > 16):
        raise ImageError(f"{path}: {_bands(tags)}, which are not read; {BANDS_REMEDY}")


BANDS_REMEDY = "write one band or 8-bit RGB, for example with `gdal_translate -b 1`"


def _is_deep_colour(image: Image.Image) -> bool:
    """Return whether Pillow would cut a colour image of 16 bits a channel down to 8."""
    if image.mode not in ("RGB", "RGBA", "RGBX", "RGBa"):
        return False
    if image.format == "TIFF":
        return 16 in _numbers(image.tag_v2, _BITS, 1)  # type: ignore[attr-defined]
    decoders = [tile[3] for tile in getattr(image, "tile", [])]
    raw_modes = [str(next(iter(d or ()), "")) if isinstance(d, tuple) else str(d) for d in decoders]
    return any(";16" in raw for raw in raw_modes)


def _is_for_opencv(image: Image.Image) -> bool:
    """Return whether an image is so large that OpenCV decodes it, in half of Pillow's memory."""
    large = image.size[0] * image.size[1] > _LARGE
    return large and image.format == "PNG" and image.mode in ("L", "RGB", "RGBA", "P")


def _numbers(tags: Any, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return tuple(int(v) for v in value) if isinstance(value, tuple) and value else (int(value or default),)


def _check_sums(data: bytes, path: Path) -> None:
    """Raise for a PNG with a wrong checksum or without its end, which OpenCV and Pillow fill in silence."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.verify()
    if b"IEND" not in data[-4096:]:
        raise ImageError(f"{path}: truncated PNG file")


def _with_opencv(image: Image.Image, data: bytes, path: Path, mode: int) -> npt.NDArray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageError(f"{path}: damaged, or an unsupported kind of {image.format} file")
    return pixels


def _in_strips(image: Image.Image, mode: str) -> npt.NDArray:
    """Return the pixels of a loaded image in a mode of 8 bits; converted as a whole it would be there three times."""
    width, height = image.size
    pixels = np.empty((height, width) if mode == "L" else (height, width, 3), np.uint8)
    for rows, strip in _strips(image):
        pixels[rows] = np.asarray(strip.convert(mode))
    return pixels


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    width, height = image.size
    for top in range(0, height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, height)
        yield slice(top, bottom), image.crop((0, top, width, bottom))


def _measured(image: Image.Image, path: Path) -> npt.NDArray:
    """Return a loaded band of integers or floats → (H, W) uint16, scaled to its range where it fills little of its
    type's.
    """
    full = 65535
    low, high, fits = _range(image, path)
    scaled = not fits or high - low <= full * _SMALL_PART
    scale = full / (high - low) if high > low else 0.0
    pixels = np.empty(image.size[::-1], np.uint16)
    for rows, strip in _strips(image):
        values = np.asarray(strip)
        if scaled:
            with np.errstate(invalid="ignore", over="ignore"):
                values = np.rint(np.clip((values.astype(np.float64) - low) * scale, 0, full))
            values = np.where(np.isnan(values), 0, values)
        pixels[rows] = values
    return pixels


def _range(image: Image.Image, path: Path) -> tuple[float, float, bool]:
    """Return low and high end of a band without its outliers, from a part of its pixels; whether all values are
    uint16.
    """
    sample, fits = [], image.mode != "F"
    step = max(1, image.size[0] * image.size[1] // _SAMPLED)
    for _, strip in _strips(image):
        values = np.asarray(strip)
        fits = fits and values.min() >= 0 and values.max() <= 65535
        values = values.reshape(-1)[::step]
        sample.append(values[np.isfinite(values)])
    measured = np.concatenate(sample).astype(np.float64)
    if not len(measured):
        raise ImageError(f"{path}: no pixel is a finite number")
    low, high = np.quantile(measured, (_OUTLIERS, 1 - _OUTLIERS))
    if high <= low:
        low, high = measured.min(), measured.max()
    return float(low), float(high), fits


def _asked_for() -> int:
    try:
        return int(os.environ.get(MEMORY_VARIABLE, "0")) * 1_000_000
    except ValueError:
        return 0
