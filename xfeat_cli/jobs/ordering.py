"""The order in which pairs are worked on."""

from __future__ import annotations

from xfeat_cli.types import Pair


def in_squares(pairs: list[Pair], side: int) -> list[Pair]:
    """Return pairs sorted so that runs of them come from 2 · `side` images: each is read once a square, not once a
    pair.
    """
    names = dict.fromkeys(name for pair in pairs for name in pair)
    rank = {name: number for number, name in enumerate(names)}

    def place(pair: Pair) -> tuple[int, ...]:
        row, column = rank[pair[0]], rank[pair[1]]
        return row // side, column // side, row, column

    return sorted(pairs, key=place)
