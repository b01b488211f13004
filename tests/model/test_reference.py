"""Parity of `--decoding reference` with the authors' code on the shared reference results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from xfeat_cli import ExtractConfig, Features, XFeat
from xfeat_cli.decoding import to_gray
from xfeat_cli.errors import ImageError, WeightsError
from xfeat_cli.model import reference

TOP_K = {"a": 1024, "b": 1024, "c": 1024, "d": 2048}
DENSE_TOP_K = 1000
SAME_PX = 0.02


@dataclass(frozen=True)
class Golden:
    """Input images and the authors' outputs."""

    folder: Path
    weights: Path

    def image(self, name: str) -> np.ndarray:
        return cv2.imread(str(self.folder / f"{name}.png"), cv2.IMREAD_COLOR)

    def outputs(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}.npz") as file:
            return dict(file)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    return Golden(shared / "golden", shared / "weights" / "xfeat-official-backbone.pt")


@pytest.fixture(scope="module")
def xfeat(golden: Golden) -> XFeat:
    return XFeat(ExtractConfig(weights=str(golden.weights), decoding="reference", resize=0, device="cpu"))


@pytest.fixture(scope="module")
def sparse(golden: Golden) -> Callable[[str], Features]:
    @cache
    def detect(name: str) -> Features:
        model = XFeat(weights=str(golden.weights), decoding="reference", resize=0, device="cpu", top_k=TOP_K[name])
        return model.detect(golden.image(name))

    return detect


def _nearest(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance = np.linalg.norm(points[:, None] - others[None], axis=-1)
    return distance.argmin(1), distance.min(1)


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float32), b.astype(np.float32)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("name", ["a", "c"])
def test_network_outputs(golden: Golden, xfeat: XFeat, name: str) -> None:
    gray = torch.from_numpy(to_gray(golden.image(name)))[None, None]
    heads = xfeat.runtime.heads(reference.normalise(reference._to_multiple_of_stride(gray)))
    expected = golden.outputs(name)
    for result, key in zip(heads, ("feats", "logits", "reliability"), strict=True):
        truth = expected[key].astype(np.float32)
        half_a_float16_step = np.abs(np.spacing(expected[key])).astype(np.float32) / 2
        error = np.abs(result[0].numpy() - truth) - half_a_float16_step
        assert error.max() <= 1e-3 * np.ptp(truth), key


@pytest.mark.parametrize("name", list(TOP_K))
def test_sparse(golden: Golden, sparse: Callable[[str], Features], name: str) -> None:
    features, expected = sparse(name), golden.outputs(name)
    truth = np.flatnonzero(expected["scores"] > 0)
    nearest, distance = _nearest(expected["keypoints"][truth], features.keypoints)
    same = distance < SAME_PX
    assert abs(len(features) - len(truth)) <= 0.005 * len(truth)
    assert same.mean() >= 0.995
    truth, found = truth[same], nearest[same]
    assert np.abs(features.scores[found] - expected["scores"][truth]).max() <= 1e-4
    assert _cosines(features.descriptors[found], expected["descriptors"][truth]).min() >= 0.9999


@pytest.mark.parametrize("name", list(TOP_K))
def test_semi_dense(golden: Golden, xfeat: XFeat, name: str) -> None:
    image, expected = golden.image(name), golden.outputs(name)
    gray = torch.from_numpy(to_gray(image))
    features = reference.semi_dense(xfeat.runtime.heads, gray, (image.shape[1], image.shape[0]), DENSE_TOP_K)
    assert features.scales is not None
    assert len(features) == len(expected["dense_keypoints"])

    def keyed(points: np.ndarray, scales: np.ndarray) -> np.ndarray:
        return np.column_stack([points, 100 * scales])  # points of different scales are far apart

    nearest, distance = _nearest(
        keyed(expected["dense_keypoints"], expected["dense_scales"]), keyed(features.keypoints, features.scales)
    )
    same = distance < SAME_PX
    assert same.mean() >= 0.995
    assert _cosines(features.descriptors[nearest[same]], expected["dense_descriptors"][same]).min() >= 0.9999


@pytest.mark.parametrize("min_cossim", [-1, 0.82])
def test_matches(golden: Golden, sparse: Callable[[str], Features], min_cossim: float) -> None:
    """As pairs of points, so that the order of equal scores plays no part."""
    a, b = sparse("a"), sparse("b")
    found = reference.match(a, b, min_cossim).indices
    with np.load(golden.folder / "ab_matches.npz") as file:
        expected = file[f"matches_{min_cossim}"]
    keypoints = golden.outputs("a")["keypoints"], golden.outputs("b")["keypoints"]

    def as_points(points0: np.ndarray, points1: np.ndarray) -> set[tuple[float, ...]]:
        return {tuple(row) for row in np.column_stack([points0, points1]).round(1).tolist()}

    ours = as_points(a.keypoints[found[:, 0]], b.keypoints[found[:, 1]])
    theirs = as_points(keypoints[0][expected[:, 0]], keypoints[1][expected[:, 1]])
    assert len(theirs) == len(expected)
    assert len(ours & theirs) >= 0.995 * max(len(ours), len(theirs))


def test_semi_dense_needs_a_refiner(golden: Golden) -> None:
    with pytest.raises(WeightsError, match=r"xfeat-official-backbone\.pt.*refiner"):
        XFeat(weights=str(golden.weights), mode="semi-dense")


def test_a_tiny_image_is_one_error() -> None:
    model = XFeat(decoding="reference", device="cpu")
    with pytest.raises(ImageError, match="at least 32 pixels"):
        model.detect(np.zeros((31, 100), np.uint8))


def test_the_refiner_moves_the_first_point_alone_as_the_authors_do() -> None:
    one = np.ones(1, np.float32)
    features0 = Features(np.array([[10.0, 20]], np.float32), one, np.zeros((1, 64), np.float32), (99, 99), 2 * one)
    matches = reference.Matches(np.zeros((1, 2), np.int32), one)
    logits = torch.full((1, 64), -99.0)
    logits[0, 8 * 6 + 1] = 0  # row 6, column 1
    refined = reference.refine(lambda d0, d1: logits, features0, features0, matches)
    np.testing.assert_allclose(refined.points0, [[10 + 2 * (1 - 4), 20 + 2 * (6 - 4)]], atol=1e-5)
    np.testing.assert_array_equal(refined.points1, [[10, 20]])
