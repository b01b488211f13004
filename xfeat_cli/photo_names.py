"""Which files of a folder are photographs, what is said of the others, and which photograph a name in a list means."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
RAW_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2", "raf", "pef", "srw", "3fr"),
        *("iiq", "rwl", "x3f", "gpr", "erf", "kdc", "dcr", "mos", "mrw"),
    )
)
_WITH_EXTRAS = {"pillow_heif": HEIF_SUFFIXES, "rawpy": RAW_SUFFIXES}
"""Library → what is read where it is installed."""

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "tif", "tiff", "webp", "bmp", "dib", "gif"),
        *("ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "avif"),
    )
).union(*(suffixes for library, suffixes in _WITH_EXTRAS.items() if find_spec(library) is not None))
"""Of the images that are read here."""

_RAW = "pip install 'xfeat-cli[raw]', or develop them to JPEG or TIFF"
_HEIF = "pip install 'xfeat-cli[heif]', or convert them to JPEG"
_VIDEO = "choose frames of them with `xfeat frames VIDEO DIR`"
_CONVERT = "convert them to JPEG or PNG, for example with `magick mogrify -format jpg`"
_UNREAD = {
    **dict.fromkeys(HEIF_SUFFIXES, ("HEIC", _HEIF)),
    **dict.fromkeys(RAW_SUFFIXES, ("raw", _RAW)),
    **{
        f".{s}": ("video", _VIDEO)
        for s in (
            *("mp4", "mov", "avi", "mkv", "m4v", "webm", "mts", "m2ts", "3gp", "wmv", "mpg", "mpeg", "insv", "lrv"),
            *("360", "mxf"),
        )
    },
    **{
        f".{s}": (s.upper(), _CONVERT)
        for s in ("jxl", "psd", "exr", "hdr", "tga", "svg", "eps", "pdf", "jxr", "jpx", "jpf", "insp", "pfm", "sgi")
    },
}
"""Suffix of files that look like photographs or videos and are not read → their kind and the remedy."""


def may_be_video(name: str) -> bool:
    """Return whether a file, by its suffix, is nothing known that is no video."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix not in SUFFIXES and _UNREAD.get(suffix, ("video", _VIDEO))[0] == "video"


_NOT_PHOTOGRAPHS = frozenset(("@eadir", "__macosx", "#recycle", "#snapshot", "$recycle.bin", "thumbnails"))
"""Folders of thumbnails and leftovers that storage boxes and systems put beside photographs, in lower case."""

_MASKS = frozenset(("mask", "masks"))


@dataclass
class Found:
    """What a folder holds. photographs: names relative to it, sorted.

    unread: files that look like photographs or videos and are not read. developed: raw files left out because the
    camera's own JPEG, or another image that is read, stands beside them. masks: folders taken for masks.
    """

    photographs: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    developed: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return a line for the user on each kind of what was left out."""
        by_kind = Counter(_UNREAD[os.path.splitext(name)[1].lower()] for name in self.unread)
        lines = [
            f"{count} {kind} file{'s are' if count > 1 else ' is'} not read here: {remedy}"
            for (kind, remedy), count in sorted(by_kind.items())
        ]
        if self.developed:
            lines.append(f"{len(self.developed)} raw files were left out: an image of the same name stands beside each")
        return lines + [f"{folder}/ holds masks of these photographs, so it was left out" for folder in self.masks]


def walk(root: Path, skipped: Path | None = None) -> Found:
    """Return the photographs in a folder and its folders, links followed once. skipped: a folder in there to
    leave out.
    """
    found, seen = Found(), set()
    skipped_real = os.path.realpath(skipped) if skipped is not None else None
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or real == skipped_real:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not s.startswith(".") and s.lower() not in _NOT_PHOTOGRAPHS)
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            name = Path(folder, file).relative_to(root).as_posix()
            if file.startswith("."):
                continue
            if suffix in SUFFIXES:
                found.photographs.append(name)
            elif suffix in _UNREAD:
                found.unread.append(name)
    found.photographs.sort()
    _leave_out_developed(found)
    found.masks = sorted(_mask_folders(found.photographs))
    if found.masks:
        inside = tuple(f"{folder}/" for folder in found.masks)
        found.photographs = [name for name in found.photographs if not name.startswith(inside)]
    return found


def _leave_out_developed(found: Found) -> None:
    """Cameras write a JPEG beside the raw file; both as photographs would be one twice."""
    stems = {os.path.splitext(n)[0] for n in found.photographs if os.path.splitext(n)[1].lower() not in RAW_SUFFIXES}

    def is_developed(name: str) -> bool:
        stem, suffix = os.path.splitext(name)
        return suffix.lower() in RAW_SUFFIXES and stem in stems

    found.developed = [name for name in (*found.photographs, *found.unread) if is_developed(name)]
    left_out = {*found.developed}
    found.photographs = [name for name in found.photographs if name not in left_out]
    found.unread = [name for name in found.unread if name not in left_out]


def _mask_folders(names: Sequence[str]) -> Iterator[str]:
    """Yield folders called `masks` that hold nothing but masks, by name, of photographs beside them."""
    known = {*names, *(os.path.splitext(name)[0] for name in names)}
    folders: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        for depth, part in enumerate(parts[:-1]):
            if part.lower() in _MASKS:
                folders.setdefault("/".join(parts[: depth + 1]), []).append(name)
                break
    for folder, masks in folders.items():
        parent = folder.rpartition("/")[0]
        of = (f"{parent}/" if parent else "") + "{}"
        masked = [os.path.splitext(of.format(mask[len(folder) + 1 :]))[0] for mask in masks]
        if known.issuperset(masked):
            yield folder


def natural_key(name: str) -> tuple[object, ...]:
    """Sort names folder by folder, and numbers in them by their value: frame_2 before frame_10."""
    folder, _, file = name.rpartition("/")
    return tuple(map(_natural, folder.split("/"))) if folder else (), _natural(file), name


def _natural(part: str) -> tuple[object, ...]:
    pieces = re.split(r"([0-9]+)", part.casefold())
    return tuple((len(piece.lstrip("0")), piece.lstrip("0")) if i % 2 else piece for i, piece in enumerate(pieces))


class KnownNames:
    """The names of images, by any spelling that lists hold.

    Besides the name itself: after `./`, absolute, relative to the working folder or with the images' folder before it
    (as `find images` prints it), with backslashes, in another Unicode normal form. folder: the images' folder, if any.
    """

    def __init__(self, names: Iterable[str], folder: str | Path | None = None) -> None:
        self._names = set(names)
        self._folder = os.path.realpath(folder) if folder else ""
        self._composed: dict[str, str | None] = {}
        for name in self._names:
            key = unicodedata.normalize("NFC", name)
            self._composed[key] = None if key in self._composed else name

    def find(self, spelling: str) -> str | None:
        """Return the name that a spelling means, or None."""
        if spelling in self._names:
            return spelling
        for candidate in self._candidates(spelling):
            name = self._composed.get(unicodedata.normalize("NFC", candidate))
            if name is not None:
                return name
        return None

    def _candidates(self, spelling: str) -> Iterator[str]:
        for text in dict.fromkeys((spelling, spelling.replace("\\", "/"))):
            path = PurePosixPath(text)
            if ".." not in path.parts and not path.is_absolute():
                yield str(path)
                yield from self._without_prefix(path)
            if self._folder and "\0" not in text:
                real = os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))
                if real.startswith(self._folder + os.sep):
                    yield Path(os.path.relpath(real, self._folder)).as_posix()

    def _without_prefix(self, path: PurePosixPath) -> Iterator[str]:
        """Return a name without the last parts of the folder, where the name begins with them."""
        folder = PurePosixPath(Path(self._folder).as_posix()).parts if self._folder else ()
        for count in range(1, len(path.parts)):
            if folder[-count:] == path.parts[:count]:
                yield "/".join(path.parts[count:])
