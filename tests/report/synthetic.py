"""Inputs of a report with exact answers: cameras on a ring that look at points, and pairs of neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xfeat_cli.report.inputs import Inputs, Look, Pairs, PhotoFacts
from xfeat_cli.sfm.model import ModelCamera, ModelImage, SparseModel

SIZE = (1200, 800)


def ring_model(count: int, points: int, seen: int, first: int = 0, folder: str = "sparse/0") -> SparseModel:
    """Images first … first + count − 1 on a ring; each sees `seen` points, with residuals of (0.3, 0.4) px."""
    rng = np.random.default_rng(first)
    angles = 2 * np.pi * np.arange(count) / max(count, 1)
    lengths = np.zeros(points, np.int64)
    images = []
    for number, angle in enumerate(angles.tolist()):
        tracks = (np.arange(seen) + number * max(points // max(count, 1), 1)) % points
        lengths[tracks] += 1
        ahead, down = np.array([-np.cos(angle), -np.sin(angle), 0.0]), np.array([0.0, 0.0, -1.0])
        rotation = np.stack([np.cross(down, ahead), down, ahead])
        images.append(
            ModelImage(
                name=image_name(first + number),
                camera=1,
                rotation=rotation,
                translation=-rotation @ (np.array([np.cos(angle), np.sin(angle), 0.0]) * 5),
                points=rng.uniform((0, 0), SIZE, (seen, 2)).astype(np.float32),
                tracks=tracks,
                residuals=np.tile(np.array([0.3, 0.4], np.float32), (seen, 1)),
            )
        )
    return SparseModel(
        folder=Path(folder),
        cameras={1: ModelCamera(1, "SIMPLE_RADIAL", SIZE, {"f": 1000.0, "cx": 600.0, "cy": 400.0, "k": 0.0}, 1000.0)},
        images=images,
        unregistered=[],
        points=rng.normal(size=(points, 3)),
        colours=rng.integers(0, 256, (points, 3), dtype=np.uint8),
        track_lengths=lengths,
    )


def image_name(number: int) -> str:
    return f"{number:05d}.jpg"


def ring_pairs(count: int, inliers: int = 200, apart: int = 2) -> list[tuple[int, int, int, int]]:
    """Each image with the next ones: rows, matches, inliers."""
    return [
        (n, n + step, inliers + 50, inliers) for n in range(count) for step in range(1, apart + 1) if n + step < count
    ]


def inputs_of(count: int, models: list[SparseModel], pairs: list[tuple[int, int, int, int]]) -> Inputs:
    columns = np.array(pairs, np.int64).reshape(-1, 4)
    photos = [
        PhotoFacts(image_name(number), SIZE, keypoints=2000, coverage=0.75, look=Look(120, 50, 20))
        for number in range(count)
    ]
    return Inputs(
        folder="out",
        photos=photos,
        pairs=Pairs(columns[:, :2], columns[:, 2], columns[:, 3], "COLMAP's database"),
        models=models,
        keypoint_density=np.ones((12, 16)),
        run={"options": {"pairing": {"kinds": ["sequential"]}}, "stages": [], "versions": {}},
    )
