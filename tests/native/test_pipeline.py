"""Features and matches with the library and without it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xfeat_cli import decoding
from xfeat_cli.matching import nearest
from xfeat_cli.model import decode, heatmap, peaks
from xfeat_cli.native.library import supported_levels
from xfeat_cli.types import Features, Matches
from xfeat_cli.xfeat import XFeat

pytestmark = pytest.mark.skipif(not supported_levels(), reason="the native library is not built")


def _texture(seed: int, size: tuple[int, int] = (260, 350)) -> np.ndarray:
    """Coloured patches of several sizes, (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    total = np.zeros((*size, 3), np.float32)
    for side in (4, 9, 20, 50):
        coarse = random.random((size[0] // side + 2, size[1] // side + 2, 3), np.float32)
        total += cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)
    return (total / total.max() * 255).astype(np.uint8)


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize("resize", [0, 300])
def test_features_are_the_same_without_it(backend: str, resize: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [_texture(0), _texture(0)[20:, 30:].copy()]
    xfeat = XFeat(top_k=500, resize=resize, precision="fp32", backend=backend, device="cpu")
    features, matches = _run(xfeat, images)
    for module in (decoding, nearest, decode, heatmap, peaks):
        monkeypatch.setattr(module, "library", lambda: None)
    expected, expected_matches = _run(xfeat, images)
    for one, other in zip(features, expected, strict=True):
        assert len(one) == len(other) == 500
        distance = np.linalg.norm(one.keypoints[:, None] - other.keypoints[None], axis=2)
        nearest_other = distance.argmin(1)
        same = distance.min(1) < 0.01
        assert same.mean() > 0.995  # the last of the best may differ
        cosine = (one.descriptors[same] * other.descriptors[nearest_other[same]]).sum(1)
        assert cosine.min() > 0.9999
    assert abs(len(matches) - len(expected_matches)) <= 2
    assert len(matches) > 100


def _run(xfeat: XFeat, images: list[np.ndarray]) -> tuple[list[Features], Matches]:
    features = [xfeat.detect(image) for image in images]
    matches = xfeat.match(*features)
    assert isinstance(matches, Matches)
    return features, matches
