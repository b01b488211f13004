"""Which two images an entry of a matches file belongs to.

hloc names a pair's entry after its images with "/" replaced by "-", so the images' own names cannot be read from it:
they are looked up among known names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from xfeat_cli.pairs import Pair


@dataclass
class ResolvedPairs:
    """pairs: by entry name, each two images once. unknown: entries whose images are not among the known names.

    ambiguous: entries that could belong to several images, with one line for the user that says which.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    ambiguous: dict[str, str] = field(default_factory=dict)


def resolve(entries: Iterable[str], names: Iterable[str]) -> ResolvedPairs:
    """Find the images of each entry of a matches file among `names`."""
    owners: dict[str, list[str]] = {}
    for name in names:
        owners.setdefault(name.replace("/", "-"), []).append(name)
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
