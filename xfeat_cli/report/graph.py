"""The graph of images that verified pairs make: components, bridges, weak links, groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.int64]

LEAST_INLIERS = 15
"""Verified matches that make a pair a link: COLMAP's mapper looks at no pair with fewer."""

WEAK_INLIERS = 50
"""Two parts whose strongest link has fewer are held together weakly."""


@dataclass(frozen=True)
class WeakLink:
    """The strongest link between two parts of the graph. pair: row of the pairs. sizes: images of the parts."""

    pair: int
    inliers: int
    sizes: tuple[int, int]


@dataclass(frozen=True)
class Graph:
    """component: (N,) number of each image's component, 0 the largest; images without a link are components of one.

    bridges: rows of the pairs without which a component falls apart. weak_links: weakest first.
    """

    component: IndexArray
    sizes: list[int]
    bridges: list[int]
    weak_links: list[WeakLink]


def build_graph(count: int, images: IndexArray, inliers: IndexArray) -> Graph:
    """images: (P, 2) rows below `count`; inliers: (P,)."""
    rows = np.flatnonzero(inliers >= LEAST_INLIERS)
    rows = rows[np.argsort(-inliers[rows], kind="stable")]
    parts = _Parts(count)
    weak = []
    for row in rows.tolist():
        sizes = parts.join(*images[row].tolist())
        if sizes is not None and inliers[row] < WEAK_INLIERS:
            weak.append(WeakLink(row, int(inliers[row]), sizes))
    roots = np.array([parts.root(image) for image in range(count)], np.int64)
    kinds, first, inverse, sizes_of = np.unique(roots, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes_of))
    number = np.empty(len(kinds), np.int64)
    number[order] = np.arange(len(kinds))
    return Graph(
        number[inverse].reshape(-1),
        sizes_of[order].tolist(),
        _bridges(count, images[rows], rows),
        sorted(weak, key=lambda link: (link.inliers, -min(link.sizes))),
    )


def grouped(count: int, images: IndexArray, inliers: IndexArray, most: int) -> IndexArray:
    """Return (N,) a group for each image, at most about `most` groups: the strongest links join first, evenly."""
    parts = _Parts(count)
    largest = max(1, -(-2 * count // most))
    left = count
    for row in np.argsort(-inliers, kind="stable").tolist():
        if left <= most or inliers[row] < LEAST_INLIERS:
            break
        if parts.size_together(*images[row].tolist()) <= largest and parts.join(*images[row].tolist()):
            left -= 1
    roots = [parts.root(image) for image in range(count)]
    return np.unique(np.array(roots, np.int64), return_inverse=True)[1].reshape(-1)


class _Parts:
    """Disjoint sets of images."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self._size = [1] * count

    def root(self, image: int) -> int:
        parent = self._parent
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image

    def size_together(self, one: int, other: int) -> int:
        one, other = self.root(one), self.root(other)
        return self._size[one] + (self._size[other] if one != other else 0)

    def join(self, one: int, other: int) -> tuple[int, int] | None:
        """Return sizes of the two parts that become one; None when they were one."""
        one, other = self.root(one), self.root(other)
        if one == other:
            return None
        sizes = self._size[one], self._size[other]
        if sizes[0] < sizes[1]:
            one, other = other, one
        self._parent[other] = one
        self._size[one] += self._size[other]
        return sizes


def _bridges(count: int, images: IndexArray, rows: IndexArray) -> list[int]:
    """Return rows of the links that lie on no cycle (Tarjan, 1974), without recursion."""
    links: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for (one, other), row in zip(images.tolist(), rows.tolist(), strict=True):
        links[one].append((other, row))
        links[other].append((one, row))
    entered = [-1] * count
    lowest = [0] * count
    clock = 0
    bridges = []
    for start in range(count):
        if entered[start] >= 0:
            continue
        entered[start] = lowest[start] = clock
        clock += 1
        path = [(start, -1, iter(links[start]))]
        while path:
            image, by, others = path[-1]
            for other, row in others:
                if row == by:
                    continue
                if entered[other] >= 0:
                    lowest[image] = min(lowest[image], entered[other])
                    continue
                entered[other] = lowest[other] = clock
                clock += 1
                path.append((other, row, iter(links[other])))
                break
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[image])
                    if lowest[image] > entered[above]:
                        bridges.append(by)
    return sorted(bridges)
