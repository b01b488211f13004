"""The nearest others of each of many items, in blocks: memory holds one block of scores, however many items."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.int64]
Score = Callable[[IndexArray, IndexArray], npt.NDArray[np.floating]]
"""Items (R,) and items (C,) → how near each is to each (R, C), more is nearer; −inf = never a pair."""

ROWS, COLUMNS = 512, 4096
"""A block of float32 scores takes 8 MB."""


def nearest_pairs(items: int, count: int, score: Score, queries: IndexArray | None = None) -> Iterator[tuple[int, int]]:
    """Yield each query with its at most `count` nearest other items, nearest first; a pair that both ends name comes
    once.

    queries: ascending; None = all items.
    """
    asked = np.arange(items) if queries is None else queries
    nearest = np.full((len(asked), count), -1, np.int32)
    for start in range(0, len(asked), ROWS):
        found = _nearest(asked[start : start + ROWS], items, count, score)
        nearest[start : start + ROWS, : found.shape[1]] = found
    row_of = np.full(items, -1, np.int32)
    for row, item in enumerate(asked.tolist()):
        for other in nearest[row].tolist():
            if other < 0:
                break
            if row_of[other] < 0 or not (nearest[row_of[other]] == item).any():
                yield item, other
        row_of[item] = row


def negative_squared_distances(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map points (R, D) and (C, D) → a score (R, C). Axis by axis: products would lose the digits of far-off
    origins.
    """
    score = np.zeros((len(one), len(two)))
    for axis in range(one.shape[1]):
        score -= (one[:, None, axis] - two[None, :, axis]) ** 2
    return score


def _nearest(rows: IndexArray, items: int, count: int, score: Score) -> npt.NDArray[np.int32]:
    """Return (R, ≤ count) nearest others of the items `rows`, nearest first, −1 = none; of equals the earlier first."""
    index = np.full((len(rows), count), -1, np.int32)
    value = np.full((len(rows), count), -np.inf, np.float64)
    for first in range(0, items, COLUMNS):
        columns = np.arange(first, min(first + COLUMNS, items))
        scores = np.array(score(rows, columns))
        scores[rows[:, None] == columns[None]] = -np.inf
        better = np.flatnonzero((scores > value[:, -1:]).any(axis=1))
        if not len(better):
            continue
        scores = scores[better]
        if len(columns) > count:
            best = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
            scores, columns = np.take_along_axis(scores, best, 1), columns[best]
        else:
            columns = np.broadcast_to(columns, scores.shape)
        values = np.concatenate([value[better], scores], axis=1)
        indices = np.concatenate([index[better], np.where(np.isneginf(scores), -1, columns)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        value[better] = np.take_along_axis(values, order, 1)
        index[better] = np.take_along_axis(indices, order, 1)
    return index
