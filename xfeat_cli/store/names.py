"""Which two images an entry of a matches file belongs to.

hloc names a pair's entry after its images with "/" replaced by "-", so the images' own names cannot be read from it:
they are looked up among known names. Names that become the same collide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from xfeat_cli.types import Pair


def pair_name(name0: str, name1: str) -> str:
    """Name of a pair's entry, as hloc names it."""
    return f"{_flat(name0)}/{_flat(name1)}"


@dataclass
class ResolvedPairs:
    """pairs: by entry name, each two images once. unknown: entries whose images are not among the known names.

    ambiguous: entries that could belong to several images, with one line for the user that says which.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    ambiguous: dict[str, str] = field(default_factory=dict)


def colliding_names(names: Iterable[str]) -> list[list[str]]:
    """Return the names that collide with others, together with those."""
    return [owners for owners in _owners(names).values() if len(owners) > 1]


def colliding_pairs(pairs: Collection[Pair], *, ordered: bool = False) -> dict[Pair, str]:
    """Return the pairs that would share an entry with another pair, each with a line for the user; in either order of
    their images, unless the pairs are ordered. None of them can be stored: a reader that asks for the one would get the
    matches of the other.
    """
    names = dict.fromkeys(name for pair in pairs for name in pair)
    suspects = {name for owners in colliding_names(names) for name in owners}
    sharers: dict[Collection[str], list[Pair]] = {}
    for pair in pairs:
        if not suspects.isdisjoint(pair):
            flat = tuple(map(_flat, pair))
            sharers.setdefault(flat if ordered else frozenset(flat), []).append(pair)
    return {
        pair: f"{' '.join(pair)} and {' '.join(next(other for other in sharing if other != pair))} would be one entry "
        "of the matches file, as hloc names it; rename one of the images"
        for sharing in sharers.values()
        if len(sharing) > 1
        for pair in sharing
    }


def resolve(entries: Iterable[str], names: Iterable[str]) -> ResolvedPairs:
    """Find the images of each entry of a matches file among `names`."""
    owners = _owners(names)
    resolved = ResolvedPairs()
    taken: set[frozenset[str]] = set()
    for entry in entries:
        flat = entry.split("/")
        found = [owners.get(part, []) for part in flat]
        if len(found) != 2 or not all(found):
            resolved.unknown.append(entry)
            continue
        shared = next((names for names in found if len(names) > 1), None)
        if shared:
            resolved.ambiguous[entry] = (
                f"the pair {entry!r} could be of {' or '.join(map(repr, shared))}, which hloc's naming cannot tell "
                "apart; rename one of these images"
            )
            continue
        pair = (found[0][0], found[1][0])
        if frozenset(pair) not in taken:
            taken.add(frozenset(pair))
            resolved.pairs[entry] = pair
    return resolved


def _owners(names: Iterable[str]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name in names:
        owners.setdefault(_flat(name), []).append(name)
    return owners


def _flat(name: str) -> str:
    return name.replace("/", "-")
