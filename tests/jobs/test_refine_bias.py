"""Refined matches of the demo scene, whose cameras and depths are exact: they are not shifted to any side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli import extract, match
from xfeat_cli.cameras import load_cameras
from xfeat_cli.demo import backproject, project, render_scene
from xfeat_cli.jobs.refine import refine
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import Matches

LARGEST = 0.01
"""Pixels."""


@pytest.mark.slow
@pytest.mark.parametrize("size", [(640, 480), (961, 641)])
def test_residuals_have_no_mean(tmp_path: Path, size: tuple[int, int]) -> None:
    scene = render_scene(tmp_path / "scene", views=5, size=size, depth=True)
    features, matches, refined = (tmp_path / name for name in ("f.h5", "m.h5", "r.h5"))
    extract(scene.images, features, device="cpu")
    match(scene.folder / "pairs.txt", features, matches, device="cpu")
    refine(features, matches, scene.images, refined, tmp_path / "rm.h5")
    before, after = (
        np.concatenate(list(residuals(scene.folder, *files)))
        for files in ((features, matches), (refined, tmp_path / "rm.h5"))
    )
    near = after[(np.abs(after) < 0.5).all(1)]
    assert len(near) > 1000
    assert np.abs(near.mean(0)).max() < LARGEST
    assert np.median(np.abs(after)) < 0.4 * np.median(np.abs(before))


def residuals(folder: Path, keypoints: Path, matches: Path):  # type: ignore[no-untyped-def]
    """For each pair, where matches lie in image 1 and where their places in image 0 are truly seen, (M, 2) px."""
    cameras = load_cameras(folder / "cameras.json")
    with KeypointsReader(keypoints) as points, MatchesReader(matches) as found:
        for line in (folder / "pairs.txt").read_text().splitlines():
            one, two = line.split()
            pair = found.load(one, two)
            assert isinstance(pair, Matches)
            here, there = (points.load(name).keypoints[i] for name, i in zip((one, two), pair.indices.T, strict=True))
            depth = np.load(folder / "depth" / f"{one}.npz")["depth"]
            x, y = np.ascontiguousarray(here.T)
            at, lowest, highest = (
                cv2.remap(image, x[None], y[None], cv2.INTER_LINEAR).ravel()
                for image in (depth, cv2.erode(depth, np.ones((5, 5))), cv2.dilate(depth, np.ones((5, 5))))
            )
            smooth = (lowest > 0) & (highest < 1.05 * lowest)
            true = project(backproject(here[smooth], at[smooth], cameras[one]), cameras[two])
            yield there[smooth] - true
