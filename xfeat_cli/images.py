"""Find photographs and read one, with its mask.

Sizes, masks and all that is kept are of the image as it is stored, as COLMAP and hloc expect. Only what the network
sees is turned upright, as the file's EXIF orientation asks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import AS_STORED, stored_pixels, upright_pixels
from xfeat_cli.decoding import decode, decode_reduced, to_gray
from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.types import FloatArray

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "tif", "tiff", "webp", "bmp", "dib", "gif"),
        *("ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "avif"),
    )
)


@dataclass(frozen=True)
class ImageFile:
    """name: relative to the image root, POSIX separators."""

    name: str
    path: Path


@dataclass(frozen=True)
class Photo:
    """A decoded photograph.

    gray: (h, w) float32 in [0, 1], reduced for the network and turned by `orientation`.
    size: (width, height) as stored.
    shown: (width, height) in stored pixels of what `gray` shows, from the first pixel on: the whole image, or all but
    at most 7 columns and rows of one that its decoder reduced.
    orientation: how the stored image was turned for the network (`coordinates`).
    mask: (height, width) bool at stored size, False = ignore, or None.
    digest: BLAKE2b of the file's bytes; mask_digest likewise, empty without a mask.
    file_bytes, file_mtime_ns: the file's size and time of change.
    """

    name: str
    gray: FloatArray
    size: tuple[int, int]
    shown: tuple[int, int]
    digest: str = ""
    mask: npt.NDArray[np.bool_] | None = None
    mask_digest: str = ""
    file_bytes: int = 0
    file_mtime_ns: int = 0
    orientation: int = AS_STORED


def find_images(images: Path, listed: Iterable[str] | None = None) -> list[ImageFile]:
    """The photographs of a folder (walked recursively, sorted by name), of a list within it, or a single file.

    Raises UsageError when there is nothing to read.
    """
    if listed is not None:
        return _listed_images(images, listed)
    if images.is_file():
        return [ImageFile(images.name, images)]
    if not images.is_dir():
        raise UsageError(f"{images} does not exist: give a folder of photographs or one image")
    found = sorted(_walk(images), key=lambda image: image.name)
    if not found:
        raise UsageError(f"{images} holds no images: looked for {' '.join(sorted(SUFFIXES))} in it and its folders")
    return found


def _listed_images(root: Path, lines: Iterable[str]) -> list[ImageFile]:
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder: names of an image list are relative to a folder")
    found: dict[str, ImageFile] = {}
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip() or text.startswith("#"):
            continue
        path = Path(text)
        if path.is_absolute():
            if not path.is_relative_to(root.absolute()):
                raise UsageError(f"image list, line {number}: {text!r} lies outside {root}")
            path = path.relative_to(root.absolute())
        parts = PurePosixPath(path.as_posix()).parts
        if ".." in parts:
            raise UsageError(f"image list, line {number}: {text!r} lies outside {root}")
        name = "/".join(parts)
        found[name] = ImageFile(name, root / path)
    if not found:
        raise UsageError("the image list names no image")
    return list(found.values())


def _walk(root: Path) -> Iterable[ImageFile]:
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not s.startswith("."))
        for file in files:
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES:
                path = Path(folder, file)
                yield ImageFile(path.relative_to(root).as_posix(), path)


def read_photo(image: ImageFile, longest: int, masks: Path | None = None, *, upright: bool = True) -> Photo:
    """Decode one photograph, gray, reduced so that its longest side is at most `longest` px (0 = as it is).

    upright: turn what the network sees as the file's EXIF orientation asks; else it sees the image as it is stored.
    masks: folder of COLMAP masks, `name.jpg.png`; an image without one is used whole.
    Raises ImageError naming the file.
    """
    if not _is_utf8(image.name):
        raise ImageError(f"{image.name!r}: the file's name is not valid UTF-8; rename it")
    data = _read_bytes(image.path)
    decoded = decode_reduced(data, image.path, longest)
    size = decoded.size
    mask, mask_digest = None, ""
    if masks is not None:
        mask_path = masks / f"{image.name}.png"
        if mask_path.exists():
            mask_data = _read_bytes(mask_path)
            mask_digest = digest(mask_data)
            mask = _mask(decode(mask_data, mask_path), size, mask_path)
    orientation = decoded.orientation if upright else AS_STORED
    return Photo(
        image.name,
        to_gray(np.ascontiguousarray(upright_pixels(decoded.pixels, orientation)), longest),
        size,
        decoded.shown,
        digest(data),
        mask,
        mask_digest,
        len(data),
        _modified(image.path),
        orientation,
    )


def turned_to(photo: Photo, orientation: int) -> Photo:
    """A photograph as the network is to see it at another orientation than its own."""
    stored = stored_pixels(photo.gray, photo.orientation)
    return replace(photo, gray=np.ascontiguousarray(upright_pixels(stored, orientation)), orientation=orientation)


def digest(data: bytes) -> str:
    """BLAKE2b-128 of some bytes, hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """`digest` of a file's content. Raises ImageError if it cannot be read."""
    return digest(_read_bytes(path))


def _mask(pixels: npt.NDArray, size: tuple[int, int], path: Path) -> npt.NDArray[np.bool_]:
    if (pixels.shape[1], pixels.shape[0]) != size:
        raise ImageError(
            f"{path}: the mask is {pixels.shape[1]}x{pixels.shape[0]}, its image {size[0]}x{size[1]}; "
            "make them the same size"
        )
    return np.asarray(pixels.any(-1) if pixels.ndim == 3 else pixels > 0)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ImageError(f"{path}: no such file" if not path.exists() else f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None
