"""Read, write and make lists of image pairs.

One pair a line, `name0 name1`, whitespace separated; tab separated when a name holds spaces. Blank lines and lines
that begin with `#` are skipped. A pair given twice, or both ways round, counts once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xfeat_cli.errors import PairsError
from xfeat_cli.files import FileKind, whole_file
from xfeat_cli.types import Pair


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file, each once, in the file's order. Raises PairsError naming file and line."""
    try:
        with open(path, encoding="utf-8-sig") as lines:  # -sig: Windows editors put a byte order mark first
            pairs = [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if _is_pair(line)]
    except FileNotFoundError:
        raise PairsError(f"{path} does not exist; make it with `xfeat pairs exhaustive out.h5 -o {path}`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PairsError(f"{path} cannot be read as a UTF-8 list of pairs ({error})") from None
    if not pairs:
        raise PairsError(f"{path} holds no pairs; write one `name0 name1` a line")
    return unique(pairs)


def unique(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs without repetition; (a, b) and (b, a) are one."""
    first: dict[Pair, Pair] = {}
    for a, b in pairs:
        first.setdefault((a, b) if a < b else (b, a), (a, b))
    return list(first.values())


def write_pairs(path: Path, pairs: Iterable[Pair]) -> int:
    """Write a list and return how many pairs it has; the file appears whole or not at all. Raises PairsError."""
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, FileKind.TEXT) as file:
            for a, b in pairs:
                file.write(_format(a, b).encode())
                count += 1
    except OSError as error:
        raise PairsError(f"{path} cannot be written ({error.strerror or error})") from None
    return count


def exhaustive(names: Sequence[str]) -> Iterator[Pair]:
    """Every image with every other."""
    return itertools.combinations(names, 2)


def sequential(names: Sequence[str], overlap: int, quadratic: bool = False) -> Iterator[Pair]:
    """Every image with the `overlap` that follow it; quadratic: also with those 1, 2, 4, … 2^(overlap − 1) ahead."""
    steps = set(range(1, overlap + 1))
    if quadratic:
        steps |= {1 << power for power in range(min(overlap, len(names).bit_length()))}
    ordered = sorted(steps)
    for i, name in enumerate(names):
        for step in ordered:
            if i + step < len(names):
                yield name, names[i + step]


def can_be_listed(name: str) -> bool:
    """Whether a line of a pair list can hold this image name."""
    return not any(c in name for c in "\t\n\r") and name == name.strip() and not name.startswith("#")


def _is_pair(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _parse(line: str, where: str) -> Pair:
    text = line.rstrip("\r\n")
    names = [part.strip() for part in text.split("\t") if part.strip()] if "\t" in text else text.split()
    if len(names) != 2:
        raise PairsError(
            f"{where}: {len(names)} names instead of 2; write `name0 name1`, with a tab between names that hold spaces"
        )
    if names[0] == names[1]:
        raise PairsError(f"{where}: pairs {names[0]} with itself; remove the line")
    return names[0], names[1]


def _format(a: str, b: str) -> str:
    for name in (a, b):
        if not can_be_listed(name):
            raise PairsError(f"the image name {name!r} cannot stand in a list of pairs; rename the file")
    separator = "\t" if any(c.isspace() for c in a + b) else " "
    return f"{a}{separator}{b}\n"
