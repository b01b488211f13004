"""Pose accuracy of weights on a scene of known cameras, as `xfeat extract`, `match` and `eval pose` measure it, but
without files: sparse features, no cosine threshold.

A scene is a folder of `images/`, `cameras.json` and `pairs.txt`, as `xfeat demo` writes it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from xfeat_cli.config import MatchConfig
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.pose import Matched, PoseAccuracy, load_known, require_poselib, score_points
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.types import Matches
from xfeat_cli.xfeat import XFeat


class Scene:
    """Raises UsageError, PairsError when something is missing, before anything is measured."""

    def __init__(self, folder: Path) -> None:
        require_poselib()
        self._pairs, self._cameras = load_known(folder / "cameras.json", folder / "pairs.txt")
        names = sorted({name for pair in self._pairs for name in pair})
        self._images = [ImageFile(name, folder / "images" / name) for name in names]
        for image in self._images:
            if not image.path.is_file():
                raise UsageError(f"{image.path} does not exist; a scene holds images/, cameras.json and pairs.txt")

    def measure(self, runtime: Runtime, seeds: int) -> PoseAccuracy:
        """Return accuracy over the scene's pairs, mean of `seeds` RANSAC runs. Raises ImageError."""
        network = XFeat(runtime=runtime)
        features = {}
        for image in self._images:
            detected = network.detect_photos([read_photo(image, network.config.resize)])[0]
            # As files store them: near ties between descriptors are decided by their last digits.
            features[image.name] = replace(detected, descriptors=detected.descriptors.astype(np.float16))
        points = []
        for one, two in self._pairs:
            matches = network.match(features[one], features[two], MatchConfig(min_cossim=-1.0))
            assert isinstance(matches, Matches)
            first, second = matches.indices.T
            points.append(Matched(features[one].keypoints[first], features[two].keypoints[second]))
        return score_points(self._pairs, points, self._cameras, seeds)
