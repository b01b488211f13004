"""The bytes of an image file → pixels in the frame that the file stores → gray at the size that the network sees."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from xfeat_cli.camera_raw import develop, is_raw
from xfeat_cli.coordinates import AS_STORED, is_orientation, stored_pixels
from xfeat_cli.errors import ImageError
from xfeat_cli.heif import teach_pillow
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import library
from xfeat_cli.raster import BANDS_REMEDY, check_claims, describe_unread, pixels_of
from xfeat_cli.types import FloatArray

_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Formats without features that reach outside the file; EPS, for one, would start a program."""

_DIRECT_MODES = {"L": cv2.IMREAD_GRAYSCALE, "RGB": cv2.IMREAD_COLOR}

_REDUCED_MODES = {
    "L": {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8},
    "RGB": {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8},
}
"""By how many times smaller the image becomes."""

_STRIP_ROWS = 128

_LARGE = 32_000_000
"""Pixels from which memory counts more than the last bit of speed."""

_ORIENTATION = 0x0112
"""The EXIF tag."""


def decode(data: bytes, path: Path) -> npt.NDArray:
    """Map bytes of an image file → (H, W) or (H, W, 3) array, uint8 or uint16, as of `raster`.

    Raises ImageError for anything that is not one whole image; `path` is for the message only.
    """
    return decode_reduced(data, path).pixels


def size_of(data: bytes, path: Path) -> tuple[int, int]:
    """Return (width, height) as stored, told by the header. Raises ImageError."""
    try:
        with Image.open(io.BytesIO(data), formats=_known_formats()) as image:
            return image.size
    except Exception as error:  # decoders of damaged files raise whatever they please
        raise ImageError(f"{path}: not an image, or damaged ({type(error).__name__})") from None


@dataclass(frozen=True)
class Decoded:
    """pixels: as of `decode`, of the first `shown` (width, height) stored pixels of an image of `size`.

    orientation: what the file says of how the stored image is to be turned upright (`coordinates`).
    """

    pixels: npt.NDArray
    size: tuple[int, int]
    shown: tuple[int, int]
    orientation: int = AS_STORED


def decode_reduced(data: bytes, path: Path, longest: int = 0) -> Decoded:
    """Behave as `decode`, but a JPEG or a raw file comes reduced where it is at least twice as long as `longest` px.

    longest: 0 = as it is. The stored frame of a HEIC image is the one that its container describes, already turned as
    that asks; of a raw file, the sensor's.
    """
    if not data:
        raise ImageError(f"{path}: the file is empty")
    try:
        if is_raw(path):
            return _without_partial_pixels(*develop(data, path, longest))
        with Image.open(io.BytesIO(data), formats=_known_formats()) as image:
            if image.format in ("JPEG", "MPO") and image.mode in _DIRECT_MODES and _ends_whole(data):
                times = _reduction(image.size, longest)
                check_claims(image, len(data), path, times)
                mode = _REDUCED_MODES[image.mode].get(times, _DIRECT_MODES[image.mode])
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
                if pixels is None:
                    raise ImageError(f"{path}: damaged {image.format} file")
                return _without_partial_pixels(pixels, image.size, times, _orientation(image))
            check_claims(image, len(data), path)
            if image.format == "TIFF":
                orientation = _orientation(image)  # decoding would overwrite it
                # Pillow and OpenCV, unasked, turn a TIFF upright.
                pixels = np.ascontiguousarray(stored_pixels(pixels_of(image, data, path), orientation))
            else:
                pixels = pixels_of(image, data, path)
                orientation = _orientation(image)  # asked before decoding, a PNG would decode itself for it
            size = (pixels.shape[1], pixels.shape[0])
            return Decoded(pixels, size, size, orientation)
    except ImageError:
        raise
    except UnidentifiedImageError:
        bands = describe_unread(data)
        if bands is not None:
            raise ImageError(f"{path}: {bands}, which are not read; {BANDS_REMEDY}") from None
        raise ImageError(f"{path}: not an image, or of a format that is not read here") from None
    except MemoryError:
        raise ImageError(f"{path}: not enough memory to decode it") from None
    except Exception as error:  # decoders of damaged files raise whatever they please
        raise ImageError(f"{path}: damaged or truncated image ({str(error).strip() or type(error).__name__})") from None


def _reduction(size: tuple[int, int], longest: int) -> int:
    """Return how many times smaller (1, 2, 4 or 8) a JPEG may come from its decoder and still be `longest` px long."""
    return next((times for times in (8, 4, 2) if longest and max(size) >= times * longest and min(size) >= times), 1)


def _without_partial_pixels(pixels: npt.NDArray, size: tuple[int, int], times: int, orientation: int) -> Decoded:
    """Drop the last column and row where they show fewer than `times` stored pixels: a decoder rounds sizes up."""
    columns, rows = (side // times for side in size)
    return Decoded(pixels[:rows, :columns], size, (columns * times, rows * times), orientation)


def _orientation(image: Image.Image) -> int:
    """Return what the EXIF of an opened image says; as stored where it says nothing, or what cannot be read."""
    try:
        number = image.getexif().get(_ORIENTATION)
    except Exception:  # metadata of damaged files; the pixels may be sound
        return AS_STORED
    return number if is_orientation(number) else AS_STORED


def _known_formats() -> list[str]:
    Image.init()
    teach_pillow()
    Image.MAX_IMAGE_PIXELS = None  # `check_claims` decides, by the size of the file
    return [name for name in _FORMATS if name in Image.OPEN]


def _ends_whole(data: bytes) -> bool:
    """Return whether a JPEG stream ends with its end marker. If not, Pillow decides: OpenCV would fill a truncated
    image.
    """
    return data[-64:].rstrip(b"\0\r\n").endswith(b"\xff\xd9")


def to_gray(pixels: npt.NDArray, longest: int = 0) -> FloatArray:
    """Map (H, W[, C]) uint8, uint16, or float in [0, 1] → (h, w) float32 in [0, 1], the plain mean of R, G and B.

    Reduced by area averaging so that the longest side is at most `longest` px; never enlarged; 0 = as it is.
    Raises ImageError for other shapes or types.
    """
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[2] > 4):
        raise ImageError(f"an image must have shape (H, W), (H, W, 3) or (H, W, 4), not {pixels.shape}")
    full_scale = _full_scale(pixels)
    coloured = pixels.ndim == 3 and pixels.shape[2] >= 3
    size = pixels.shape[:2]
    scale = min(1, longest / max(size)) if longest else 1
    height, width = (max(1, round(side * scale)) for side in size)
    loaded = library()
    if loaded is not None and pixels.dtype == np.uint8:
        return native.reduce_gray(loaded, pixels, height, width)
    large = size[0] * size[1] > _LARGE and width < size[1]
    total: npt.NDArray = _narrowed(pixels, width) if large else _sum_of_bands(pixels)
    if total.shape != (height, width):
        total = cv2.resize(total, (width, height), interpolation=cv2.INTER_AREA)
    return total * np.float32(1 / (full_scale * (3 if coloured else 1)))


def _narrowed(pixels: npt.NDArray, width: int) -> FloatArray:
    """Map (H, W[, C]) → sums of bands (H, width), rows by area averaging: never all of a large image as floats."""
    strips = [pixels[top : top + _STRIP_ROWS] for top in range(0, len(pixels), _STRIP_ROWS)]
    reduced = (cv2.resize(_sum_of_bands(s), (width, len(s)), interpolation=cv2.INTER_AREA) for s in strips)
    return np.concatenate(list(reduced))


def _sum_of_bands(pixels: npt.NDArray) -> FloatArray:
    """Map (H, W[, C]) → (H, W) float32: the sum of three colours, or the first of one or two bands."""
    coloured = pixels.ndim == 3 and pixels.shape[2] >= 3
    total: npt.NDArray = _sum_of_colours(pixels) if coloured else pixels.reshape(*pixels.shape[:2], -1)[..., 0]
    return total.astype(np.float32, copy=False)


def _sum_of_colours(pixels: npt.NDArray) -> npt.NDArray:
    """Map (H, W, 3 or 4) → (H, W), uint16 for uint8, else float32; by strips, whose channels stay in cache."""
    depth, dtype = (cv2.CV_16U, np.uint16) if pixels.dtype == np.uint8 else (cv2.CV_32F, np.float32)
    total = np.empty(pixels.shape[:2], dtype)
    for top in range(0, len(pixels), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        first, second, third = cv2.split(pixels[rows])[:3]
        cv2.add(cv2.add(first, second, dtype=depth), third, dst=total[rows], dtype=depth)
    return total


def _full_scale(pixels: npt.NDArray) -> int:
    if np.issubdtype(pixels.dtype, np.floating):
        return 1
    if pixels.dtype in (np.uint8, np.uint16):
        return int(np.iinfo(pixels.dtype).max)
    raise ImageError(f"pixels must be uint8, uint16 or float, not {pixels.dtype}")
