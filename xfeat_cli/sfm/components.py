"""Which photographs show one scene, by their verified pairs: each such component is mapped by itself.

Photographs that have nothing in common still have pairs that COLMAP verifies: with two unrelated scenes, six of
`sceaux` and six of `fountain-P11`, up to 38 matches of 305 obeyed one geometry by chance, 12 %, while all pairs of one
scene kept 63 % and more. Of castle-P19 and sceaux, turned at random and with 800 matches a pair, chance gave up to 111
matches, 13 %. Mapped as one, such links join the scenes into a model that is wrong.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.int64]

LEAST_INLIERS = 15
"""Verified matches that make a pair a link: COLMAP's mapper looks at no pair with fewer."""

SURE_INLIERS, SURE_SHARE = 200, 0.25
"""A link is sure with so many verified matches, or with this share of its matches."""

LEAST_IMAGES = 3
"""A component of fewer images is not mapped by itself."""


def split(count: int, pairs: IndexArray, matches: IndexArray, inliers: IndexArray) -> list[list[int]]:
    """Return the images of each component, largest first; those that surely belong together, and those nearest to them.

    pairs: (P, 2) below `count`, matches and inliers: (P,). Images without any link are in no component.
    """
    links = inliers >= LEAST_INLIERS
    sure = links & ((inliers >= SURE_INLIERS) | (inliers >= SURE_SHARE * matches))
    cores = [part for part in _parts(count, pairs[sure]) if len(part) >= LEAST_IMAGES]
    if len(cores) < 2:
        return [part for part in _parts(count, pairs[links]) if len(part) > 1]
    core = np.full(count, -1, np.int64)
    for number, part in enumerate(cores):
        core[part] = number
    components = [list(part) for part in cores]
    for image in np.flatnonzero(core < 0).tolist():
        best = _nearest_core(image, core, pairs[links], inliers[links])
        if best >= 0:
            components[best].append(image)
    return sorted((sorted(part) for part in components), key=len, reverse=True)


def _nearest_core(image: int, core: IndexArray, pairs: IndexArray, inliers: IndexArray) -> int:
    """Return the component with which an image shares its best pair; −1 when it has none."""
    rows = (pairs == image).any(axis=1)
    partners = pairs[rows].sum(axis=1) - image
    known = core[partners] >= 0
    if not known.any():
        return -1
    return int(core[partners[known][np.argmax(inliers[rows][known])]])


def _parts(count: int, pairs: IndexArray) -> list[list[int]]:
    """Return connected parts of at least two images, largest first."""
    parent = list(range(count))

    def root(image: int) -> int:
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image

    for one, other in pairs.tolist():
        parent[max(root(one), root(other))] = min(root(one), root(other))
    parts: dict[int, list[int]] = {}
    for image in range(count):
        parts.setdefault(root(image), []).append(image)
    return sorted((part for part in parts.values() if len(part) > 1), key=len, reverse=True)
