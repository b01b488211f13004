"""A stored image, in colour, reduced for a screen."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from xfeat_cli.coordinates import rescale
from xfeat_cli.decoding import decode
from xfeat_cli.errors import ImageError
from xfeat_cli.types import FloatArray

Picture = npt.NDArray[np.uint8]

_PILLOW_MODES = ("L", "LA", "RGB", "RGBA", "P", "CMYK", "1")
_PILLOW_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "PPM", "AVIF")


@dataclass(frozen=True)
class Photograph:
    """pixels: (h, w, 3) uint8 RGB, reduced, in the stored frame. size: (width, height) as stored."""

    name: str
    pixels: Picture
    size: tuple[int, int]

    def places(self, points: FloatArray) -> FloatArray:
        """Map stored-image pixels (N, 2) → pixels of the reduced picture."""
        return np.asarray(rescale(np.asarray(points, np.float64), self.scale), np.float32)

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """Return reduced / stored, by axis (2,)."""
        height, width = self.pixels.shape[:2]
        return np.array([width / self.size[0], height / self.size[1]])

    def reduced(self, longest: int) -> Photograph:
        """Return the same with a longest side of at most `longest` px."""
        return Photograph(self.name, _fit(self.pixels, longest), self.size)


def read_photograph(path: Path, name: str, longest: int) -> Photograph:
    """Read an image file, its longest side reduced to at most `longest` px. Raises ImageError naming the file."""
    try:
        if not path.is_file():
            raise ImageError(f"{path}: no such file")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None
    found = _reduced_by_pillow(data, longest)
    if found is None:
        pixels = _as_rgb(decode(data, path))
        found = pixels, (pixels.shape[1], pixels.shape[0])
    pixels, size = found
    return Photograph(name, _fit(pixels, longest), size)


def blank_photograph(name: str, size: tuple[int, int], longest: int) -> Photograph:
    """Return what stands for a photograph that is not there: a plain area of its shape."""
    width, height = size if min(size) > 0 else (4, 3)
    scale = longest / max(width, height)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)), 3)
    return Photograph(name, np.full(shape, 60, np.uint8), (width, height))


def _reduced_by_pillow(data: bytes, longest: int) -> tuple[Picture, tuple[int, int]] | None:
    """Return pixels of an 8-bit image and its stored size; None for what needs the full decoder. JPEGs decode
    reduced.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
            size = image.size
            if image.mode not in _PILLOW_MODES or "16" in str([tile[3] for tile in getattr(image, "tile", [])]):
                return None
            image.draft("RGB", (longest, longest))
            return np.asarray(image.convert("RGB")), size
    except Exception:  # decoders of damaged files raise whatever they please; `decode` says what is wrong
        return None


def _as_rgb(pixels: npt.NDArray) -> Picture:
    """Return what `decode` returns, as (H, W, 3) uint8 RGB; its 16-bit colours come from OpenCV, which has blue
    first.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)[..., ::-1] if pixels.ndim == 3 else (pixels >> 8).astype(np.uint8)
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def _fit(pixels: Picture, longest: int) -> Picture:
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    width, height = (max(1, round(side * scale)) for side in pixels.shape[1::-1])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
