"""Features and matches with the library and without it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from xfeat_cli import decoding
from xfeat_cli.matching import nearest
from xfeat_cli.model import decode, heatmap, peaks, refiner
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import Library, supported_levels
from xfeat_cli.types import Features, Matches, PointMatches
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


def test_refined_matches_are_the_same_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [_texture(0), _texture(0)[20:, 30:].copy()]
    options = {"mode": "semi-dense", "top_k": 400, "precision": "fp32", "device": "cpu"}

    def run() -> PointMatches:
        xfeat = XFeat(**options)
        matches = xfeat.match(*(xfeat.detect(image) for image in images))
        assert isinstance(matches, PointMatches)
        return matches

    found = run()
    for module in (decoding, nearest, decode, heatmap, peaks, refiner):
        monkeypatch.setattr(module, "library", lambda: None)
    expected = run()
    assert len(found) == len(expected) > 50
    np.testing.assert_allclose(found.points0, expected.points0, atol=2e-3)
    np.testing.assert_allclose(found.points1, expected.points1, atol=2e-3)


def _run(xfeat: XFeat, images: list[np.ndarray]) -> tuple[list[Features], Matches]:
    features = [xfeat.detect(image) for image in images]
    matches = xfeat.match(*features)
    assert isinstance(matches, Matches)
    return features, matches


def test_threads_may_share_it() -> None:
    random = np.random.default_rng(0)
    pairs = [[_unit(random, 300 + i), _unit(random, 301)] for i in range(8)]
    library = Library(supported_levels()[-1])
    expected = [native.match(library, *pair, -1, 1)[0] for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda pair: native.match(library, *pair, -1, 1)[0], pairs))
            assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def _unit(random: np.random.Generator, count: int) -> np.ndarray:
    vectors = random.standard_normal((count, 64)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
