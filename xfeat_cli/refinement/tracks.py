"""Groups of keypoints that links connect. They do not touch each other, so each can be solved without the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


class Tracks:
    """A union-find forest over numbered keypoints; links come in any number of portions.

    parents: (N,) int64 with parents[i] = i, which is changed; an array on disk will do.
    """

    def __init__(self, parents: npt.NDArray[np.int64]) -> None:
        self._parents = parents

    def connect(self, first: Indices, second: Indices) -> None:
        """Join the groups of first[i] and second[i], for every i."""
        parents = self._parents
        one, two = self.roots(first), self.roots(second)
        while len(one):
            low, high = np.minimum(one, two), np.maximum(one, two)
            apart = low < high
            low, high = low[apart], high[apart]
            # Of several claims to a root the lowest wins; the others are made again.
            order = np.argsort(low, kind="stable")[::-1]
            parents[high[order]] = low[order]
            one, two = self.roots(low), self.roots(high)

    def roots(self, keypoints: Indices) -> Indices:
        """Return the lowest keypoint of each one's group."""
        above = np.asarray(self._parents[keypoints])
        while True:
            higher = np.asarray(self._parents[above])
            if np.array_equal(higher, above):
                break
            above = higher
        self._parents[keypoints] = above
        return above


def parts_of(link_counts: Indices, most: int) -> Indices:
    """Return which part each group belongs to, so that a part has at most `most` links, or a single group with more.

    link_counts: (G,) links of the groups, in their order; parts are runs of groups.
    """
    parts = np.zeros(len(link_counts), np.int64)
    ends = np.cumsum(link_counts)
    start, number = 0, 0
    while start < len(link_counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, "right")))
        parts[start:stop] = number
        start, number = stop, number + 1
    return parts
