"""Read, write and make lists of image pairs.

One pair a line, `name0 name1`, whitespace separated; tab separated when a name holds spaces. Blank lines and lines
that begin with `#` are skipped, unless both their words name images. A pair given twice, or both ways round, counts
once.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xfeat_cli.errors import PairsError
from xfeat_cli.files import FileKind, read_text, warn_once, whole_file
from xfeat_cli.photo_names import SUFFIXES, KnownNames, natural_key
from xfeat_cli.types import Pair

_SHOWN_LINES = 3


def read_pairs(path: Path, known: KnownNames | None = None) -> list[Pair]:
    """Return the pairs of a file (- = stdin), each once, in the file's order; those of an image with itself are left
    out.

    known: names of images; every spelling of one in the list becomes that name. Raises PairsError naming file and line.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise PairsError(f"{path} does not exist; make it with `xfeat pairs exhaustive out.h5 -o {path}`") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PairsError(f"{path} cannot be read as a UTF-8 list of pairs ({reason})") from None
    with_itself: list[int] = []
    pairs = unique(_parsed(text, path, known, with_itself))
    if with_itself:
        shown = ", ".join(map(str, with_itself[:_SHOWN_LINES])) + (" …" if len(with_itself) > _SHOWN_LINES else "")
        warn_once(f"{path}: pairs of an image with itself are left out (line {shown})")
    if not pairs:
        raise PairsError(f"{path} holds no pairs; write one `name0 name1` a line")
    return pairs


def unique(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs without repetition; (a, b) and (b, a) are one."""
    first: dict[Pair, Pair] = {}
    for one, two in pairs:
        first.setdefault((min(one, two), max(one, two)), (one, two))
    return list(first.values())


def write_pairs(path: Path, pairs: Iterable[Pair], inputs: Iterable[Path] = ()) -> int:
    """Write a list (- = stdout) and return how many pairs it has; the file appears whole or not at all.

    inputs: what the pairs are made of, which the list must not replace. Raises PairsError, UsageError.
    """
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, FileKind.PAIRS, inputs) as file:
            for a, b in pairs:
                file.write(_format(a, b).encode())
                count += 1
    except OSError as error:
        raise PairsError(f"{path} cannot be written ({error.strerror or error})") from None
    return count


def exhaustive(names: Sequence[str]) -> Iterator[Pair]:
    """Return every image with every other."""
    return itertools.combinations(names, 2)


def sequential(names: Sequence[str], overlap: int, quadratic: bool = False) -> Iterator[Pair]:
    """Yield every image with the `overlap` that follow it; quadratic: also with those 1, 2, 4, … 2^(overlap − 1) ahead.

    The order is that of `photo_names.natural_key`: folder by folder, frame_2 before frame_10.
    """
    names = sorted(names, key=natural_key)
    steps = set(range(1, min(overlap, len(names)) + 1))
    if quadratic:
        steps |= {1 << power for power in range(min(overlap, len(names).bit_length()))}
    ordered = sorted(steps)
    for i, name in enumerate(names):
        for step in ordered:
            if i + step < len(names):
                yield name, names[i + step]


def can_be_listed(name: str) -> bool:
    """Return whether a line of a pair list can hold this image name."""
    return not any(c in name for c in "\t\n\r") and name == name.strip() and _is_unicode(name)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parsed(text: str, path: Path, known: KnownNames | None, with_itself: list[int]) -> Iterator[Pair]:
    """Yield the pairs of a text; numbers of lines that pair an image with itself go to `with_itself`."""
    spellings: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        names = [part.strip() for part in line.split("\t") if part.strip()] if "\t" in line else line.split()
        if line.lstrip().startswith("#") and not _names_images(names, known):
            continue
        if len(names) != 2:
            raise PairsError(
                f"{path}, line {number}: {len(names)} names instead of 2; write `name0 name1`, with a tab between "
                "names that hold spaces"
            )
        for spelling in names:
            if spelling not in spellings:
                found = known.find(spelling) if known is not None else None
                spellings[spelling] = sys.intern(found or spelling)
        pair = spellings[names[0]], spellings[names[1]]
        if pair[0] == pair[1]:
            with_itself.append(number)
        else:
            yield pair


def _names_images(words: list[str], known: KnownNames | None) -> bool:
    """Return whether the words of a line that begins with # are two images, and it is no comment."""
    if len(words) != 2:
        return False
    if known is not None:
        return all(known.find(word) is not None for word in words)
    return all(os.path.splitext(word)[1].lower() in SUFFIXES for word in words)


def _format(a: str, b: str) -> str:
    for name in (a, b):
        if not can_be_listed(name):
            raise PairsError(f"the image name {name!r} cannot stand in a list of pairs; rename the file")
    if a.startswith("#"):
        a, b = b, a
    separator = "\t" if any(c.isspace() for c in a + b) else " "
    return f"{a}{separator}{b}\n"
