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


def read_pairs(
    path: Path, known: KnownNames | tuple[KnownNames, KnownNames] | None = None, *, ordered: bool = False
) -> list[Pair]:
    """Return the pairs of a file (- = stdin), each once, in the file's order; those of an image with itself are left
    out.

    known: names of images, or of first and of second images; every spelling of one in the list becomes that name.
    ordered: as for `unique`; a pair of equal names is kept then. Raises PairsError naming file and line.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise PairsError(f"{path} does not exist; make it with `xfeat pairs exhaustive out.h5 -o {path}`") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PairsError(f"{path} cannot be read as a UTF-8 list of pairs ({reason})") from None
    with_itself: list[int] = []
    sides = known if isinstance(known, tuple) else (known, known)
    pairs = unique(_parsed(text, path, sides, None if ordered else with_itself), ordered=ordered)
    if with_itself:
        shown = ", ".join(map(str, with_itself[:_SHOWN_LINES])) + (" …" if len(with_itself) > _SHOWN_LINES else "")
        warn_once(f"{path}: pairs of an image with itself are left out (line {shown})")
    if not pairs:
        raise PairsError(f"{path} holds no pairs; write one `name0 name1` a line")
    return pairs


def unique(pairs: Iterable[Pair], *, ordered: bool = False) -> list[Pair]:
    """Return the pairs without repetition; (a, b) and (b, a) are one, unless the pairs are ordered."""
    if ordered:
        return list(dict.fromkeys((one, two) for one, two in pairs))
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


def _parsed(
    text: str, path: Path, known: tuple[KnownNames | None, KnownNames | None], with_itself: list[int] | None
) -> Iterator[Pair]:
    """Yield the pairs of a text; numbers of lines that pair an image with itself go to `with_itself`, if given."""
    spellings0: dict[str, str] = {}
    spellings = spellings0, (spellings0 if known[0] is known[1] else {})
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
        for spelling, side, names_known in zip(names, spellings, known, strict=True):
            if spelling not in side:
                found = names_known.find(spelling) if names_known is not None else None
                side[spelling] = sys.intern(found or spelling)
        pair = spellings[0][names[0]], spellings[1][names[1]]
        if with_itself is not None and pair[0] == pair[1]:
            with_itself.append(number)
        else:
            yield pair


def _names_images(words: list[str], known: tuple[KnownNames | None, KnownNames | None]) -> bool:
    """Return whether the words of a line that begins with # are two images, and it is no comment."""
    if len(words) != 2:
        return False
    return all(
        os.path.splitext(word)[1].lower() in SUFFIXES if names is None else names.find(word) is not None
        for word, names in zip(words, known, strict=True)
    )


def _format(a: str, b: str) -> str:
    for name in (a, b):
        if not can_be_listed(name):
            raise PairsError(f"the image name {name!r} cannot stand in a list of pairs; rename the file")
    if a.startswith("#"):
        a, b = b, a
    separator = "\t" if any(c.isspace() for c in a + b) else " "
    return f"{a}{separator}{b}\n"
