"""Find photographs and read one, with its mask.

Sizes, masks and all that is kept are of the image as it is stored, as COLMAP and hloc expect. Only what the network
sees is turned upright, as the file's EXIF orientation asks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import AS_STORED, stored_pixels, upright_pixels
from xfeat_cli.decoding import decode, decode_reduced, size_of, to_gray
from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.files import read_text, warn_once
from xfeat_cli.photo_names import SUFFIXES, KnownNames, walk
from xfeat_cli.types import FloatArray


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


def find_images(
    images: Path | Sequence[Path], listed: Iterable[str] | None = None, masks: Path | None = None
) -> list[ImageFile]:
    """Return the photographs of a folder (walked recursively, sorted by name), of a list within it, or a single file.

    images: also several folders and files; names are then relative to `image_root` of them.
    listed: names within the folder, in any spelling of `KnownNames`. masks: a folder that is not walked.
    Files that look like photographs and are not read are counted in warnings. Raises UsageError when there is nothing
    to read.
    """
    images = [images] if isinstance(images, Path) else list(images)
    root = image_root(images)
    if listed is not None:
        if len(images) > 1 or not images[0].is_dir():
            raise UsageError(f"{images[-1]} is not a folder: names of an image list are relative to one folder")
        return _listed_images(root, listed)
    files: dict[str, ImageFile] = {}
    notes = []
    for given in images:
        if given.is_file():
            names, base = [given.name], given.parent
        else:
            found = walk(given, masks)
            notes += [f"{given}: {note}" for note in found.notes()]
            names, base = found.photographs, given
        for name in names:
            file = ImageFile(Path(os.path.relpath(base / name, root)).as_posix(), base / name)
            files.setdefault(file.name, file)
    if not files:
        more = f"; {'; '.join(notes)}" if notes else ""
        shown = " ".join(map(str, images[:3]))
        raise UsageError(
            f"{shown} holds no images: looked for {' '.join(sorted(SUFFIXES))} in it and its folders{more}"
        )
    for note in notes:
        warn_once(note)
    return [files[name] for name in sorted(files)]


def image_root(images: Sequence[Path]) -> Path:
    """Return the folder that names are relative to: the one given, or the deepest that holds all folders and files
    given.

    Raises UsageError where something does not exist.
    """
    for path in images:
        if not path.exists():
            hint = "" if len(images) == 1 else "; the name of an output ends in .h5"
            raise UsageError(f"{path} does not exist: give a folder of photographs or one image{hint}")
        if not path.is_dir() and not path.is_file():
            raise UsageError(f"{path} is a device or a pipe: give a folder of photographs or one image")
    folders = [path if path.is_dir() else path.parent for path in images]
    if len(folders) == 1:
        return folders[0]
    return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))


def read_image_list(path: Path) -> list[str]:
    """Return the lines of an image list, - = stdin. Raises UsageError."""
    try:
        return [line.rstrip("\r") for line in read_text(path).split("\n")]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the image list {path} cannot be read as UTF-8 text ({reason})") from None


def _listed_images(root: Path, lines: Iterable[str]) -> list[ImageFile]:
    files: dict[str, ImageFile] = {}
    known: KnownNames | None = None
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip() or (text.startswith("#") and not _is_within(root, text)):
            continue
        name = PurePosixPath(text).as_posix()
        if not _is_within(root, text):
            known = known or KnownNames(walk(root).photographs, root)
            name = known.find(text) or _plain_name(root, text, f"image list, line {number}")
        files[name] = ImageFile(name, root / name)
    if not files:
        raise UsageError("the image list names no image")
    return list(files.values())


def _is_within(root: Path, text: str) -> bool:
    """Return whether a list's line is, as it stands, the name of a file within the folder."""
    path = PurePosixPath(text)
    try:
        return not path.is_absolute() and ".." not in path.parts and (root / path).is_file()
    except (OSError, ValueError):
        return False


def _plain_name(root: Path, text: str, where: str) -> str:
    """Return the name of what is not there, or is no photograph by its suffix: reading it will say so."""
    path = Path(text)
    if path.is_absolute():
        real = Path(os.path.realpath(path.parent), path.name)
        base = Path(os.path.realpath(root))
        if not real.is_relative_to(base):
            raise UsageError(f"{where}: {text!r} lies outside {root}; write names relative to it")
        path = real.relative_to(base)
    if ".." in path.parts:
        raise UsageError(f"{where}: {text!r} lies outside {root}; write names relative to it")
    return path.as_posix()


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
    """Return a photograph as the network is to see it at another orientation than its own."""
    stored = stored_pixels(photo.gray, photo.orientation)
    return replace(photo, gray=np.ascontiguousarray(upright_pixels(stored, orientation)), orientation=orientation)


def stored_size(image: ImageFile) -> tuple[int, int]:
    """Return (width, height) as stored, without decoding. Raises ImageError."""
    return size_of(_read_bytes(image.path), image.path)


def digest(data: bytes) -> str:
    """Return BLAKE2b-128 of some bytes, hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return `digest` of a file's content. Raises ImageError if it cannot be read."""
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
