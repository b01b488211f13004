"""Which images hang together by pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.types import Pair


def components(names: Iterable[str], pairs: Iterable[Pair]) -> list[list[str]]:
    """Return the connected parts of the graph of images, the largest first, names sorted."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for one, two in pairs:
        if one in parent and two in parent:
            parent[root(one)] = root(two)
    parts: dict[str, list[str]] = {}
    for name in parent:
        parts.setdefault(root(name), []).append(name)
    return sorted((sorted(part) for part in parts.values()), key=lambda part: (-len(part), part))


def examine_graph(subject: str, names: Iterable[str], pairs: Iterable[Pair], kind: str) -> list[Finding]:
    """kind: of pairs, for the user: "listed", "matched", "verified"."""
    parts = components(names, pairs)
    if len(parts) < 2:
        return []
    alone = [part[0] for part in parts if len(part) == 1]
    sizes = Counter(len(part) for part in parts if len(part) > 1)
    shown = ", ".join(f"{count} of {size} images" if count > 1 else f"{size} images" for size, count in sizes.items())
    cause = f"the images fall into {len(parts)} parts that no {kind} pair joins: {shown or 'none of several images'}"
    if alone:
        cause += f", and {len(alone)} alone ({some(alone)})"
    return [
        Finding(
            Severity.WARNING,
            "disconnected",
            subject,
            cause,
            "only one part can become one model: add pairs between them (`xfeat pairs retrieval`), or photographs",
        )
    ]
