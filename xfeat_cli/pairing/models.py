"""Pairs from a COLMAP model: cameras that stand near each other and look the same way, or that see common points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.pairing.neighbours import IndexArray, nearest_pairs, negative_squared_distances
from xfeat_cli.types import Pair


def near_poses(model: Any, count: int, max_angle_deg: float = 45.0) -> Iterator[Pair]:
    """Each image with the `count` nearest others (by projection centre) whose viewing directions differ by at most
    `max_angle_deg`; nearest first, each pair once. model: a pycolmap.Reconstruction.
    """
    images = _registered(model)
    centres = np.array([image.projection_center() for image in images]).reshape(-1, 3)
    directions = np.array([image.viewing_direction() for image in images]).reshape(-1, 3)
    least_cosine = np.cos(np.radians(max_angle_deg))

    def score(rows: IndexArray, columns: IndexArray) -> npt.NDArray[np.float64]:
        nearness = negative_squared_distances(centres[rows], centres[columns])
        nearness[directions[rows] @ directions[columns].T < least_cosine] = -np.inf
        return nearness

    for one, other in nearest_pairs(len(images), count, score):
        yield images[one].name, images[other].name


def covisible(model: Any, count: int) -> Iterator[Pair]:
    """Each image with the `count` others that see most of its points, each pair once. model: as above."""
    common: Counter[tuple[int, int]] = Counter()
    for point in model.points3D.values():
        seen_by = sorted({element.image_id for element in point.track.elements})
        common.update(combinations(seen_by, 2))
    partners: dict[int, list[tuple[int, int]]] = {}
    for (one, two), points in common.items():
        partners.setdefault(one, []).append((-points, two))
        partners.setdefault(two, []).append((-points, one))
    best = {one: [other for _, other in sorted(others)[:count]] for one, others in partners.items()}
    done = set()
    for image in _registered(model):
        for other in best.get(image.image_id, []):
            if other not in done or image.image_id not in best[other]:
                yield image.name, model.images[other].name
        done.add(image.image_id)


def _registered(model: Any) -> list[Any]:
    return sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
