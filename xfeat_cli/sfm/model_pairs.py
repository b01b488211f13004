"""Pairs from a COLMAP model: cameras that stand near each other and look the same way, or that see common points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from xfeat_cli.pairs import Pair

_BLOCK = 1024


def near_poses(model: Any, count: int, max_angle_deg: float = 45.0) -> Iterator[Pair]:
    """Each image with the `count` nearest others (by projection centre) whose viewing directions differ by at most
    `max_angle_deg`; nearest first. model: a pycolmap.Reconstruction.
    """
    images = _registered(model)
    centres = np.array([image.projection_center() for image in images]).reshape(-1, 3)
    directions = np.array([image.viewing_direction() for image in images]).reshape(-1, 3)
    least_cosine = np.cos(np.radians(max_angle_deg))
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        squared = ((centres[rows, None] - centres[None]) ** 2).sum(-1)
        squared[directions[rows] @ directions.T < least_cosine] = np.inf
        for row, distances in enumerate(squared, start):
            distances[row] = np.inf
            for other in np.argsort(distances, kind="stable")[:count]:
                if np.isfinite(distances[other]):
                    yield images[row].name, images[int(other)].name


def covisible(model: Any, count: int) -> Iterator[Pair]:
    """Each image with the `count` others that see most of its points. model: a pycolmap.Reconstruction."""
    common: Counter[tuple[int, int]] = Counter()
    for point in model.points3D.values():
        seen_by = sorted({element.image_id for element in point.track.elements})
        common.update(combinations(seen_by, 2))
    partners: dict[int, list[tuple[int, int]]] = {}
    for (one, two), points in common.items():
        partners.setdefault(one, []).append((-points, two))
        partners.setdefault(two, []).append((-points, one))
    for image in _registered(model):
        for _, other in sorted(partners.get(image.image_id, []))[:count]:
            yield image.name, model.images[other].name


def _registered(model: Any) -> list[Any]:
    return sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
