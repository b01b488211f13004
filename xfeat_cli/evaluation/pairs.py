"""A list of pairs against the pairs that truly overlap."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xfeat_cli.errors import UsageError
from xfeat_cli.pairing.lists import read_pairs
from xfeat_cli.types import Pair


@dataclass(frozen=True)
class PairsScore:
    """recall: share of the true pairs that the list holds. precision: share of its pairs that are true.

    exhaustive: how many pairs the images of both lists could make. by_folder: recall of the true pairs within each
    folder of images.
    """

    pairs: int
    true_pairs: int
    exhaustive: int
    recall: float
    precision: float
    by_folder: dict[str, float]


def score_pairs(pairs: Path, truth: Path) -> PairsScore:
    """Compare two lists of pairs, whichever way round each pair stands. Raises PairsError, UsageError."""
    listed, true = ({frozenset(pair) for pair in read_pairs(path)} for path in (pairs, truth))
    names = {name for pair in listed | true for name in pair}
    if not {name for pair in listed for name in pair} & {name for pair in true for name in pair}:
        raise UsageError(f"{pairs} and {truth} have no image in common; names must be relative to the same folder")
    of_folder = Counter(_folder(pair) for pair in true)
    found = Counter(_folder(pair) for pair in true & listed)
    return PairsScore(
        pairs=len(listed),
        true_pairs=len(true),
        exhaustive=len(names) * (len(names) - 1) // 2,
        recall=len(listed & true) / len(true),
        precision=len(listed & true) / len(listed),
        by_folder={folder: found[folder] / count for folder, count in sorted(of_folder.items())},
    )


def _folder(pair: frozenset[str] | Pair) -> str:
    """Return the folder of both images; of the first, if they differ."""
    return str(PurePosixPath(min(pair)).parent)
