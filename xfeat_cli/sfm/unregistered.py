"""Why photographs have no pose: the likely reason for each, from the pairs of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xfeat_cli.sfm.components import LEAST_INLIERS
from xfeat_cli.sfm.verified import PairTable


@dataclass(frozen=True)
class Unregistered:
    """A photograph that the largest model lacks. reason: a clause for the user."""

    name: str
    reason: str


def explain(table: PairTable, models: Sequence[set[str]]) -> list[Unregistered]:
    """Return each image of a database that the first of the models lacks, by name. models: names of their images."""
    missing = [row for row, name in enumerate(table.names) if name not in models[0]]
    return [Unregistered(table.names[row], _reason(row, table, models)) for row in missing]


def _reason(row: int, table: PairTable, models: Sequence[set[str]]) -> str:
    name = table.names[row]
    for number, names in enumerate(models):
        if name in names:
            return f"it is in another model, {number}, of {len(names)} photographs: too little joins the two"
    if table.keypoints[row] == 0:
        return "it has no keypoints"
    rows = (table.images == row).any(axis=1)
    if not table.matches[rows].any():
        return "it matches no other photograph"
    inliers, partners = table.inliers[rows], table.images[rows].sum(axis=1) - row
    best = int(np.argmax(inliers))
    partner = table.names[int(partners[best])]
    if inliers[best] < LEAST_INLIERS:
        return (
            f"none of its {int((table.matches[rows] > 0).sum())} pairs was verified: it shows something else, perhaps"
        )
    placed = [number for number, names in enumerate(models) if partner in names]
    if not placed:
        return f"its best pair, with {partner}, has {inliers[best]} verified matches, but that one has no pose either"
    return (
        f"its best pair, with {partner}, has {inliers[best]} verified matches: too few of them are points of the model"
    )
