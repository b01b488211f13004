from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xfeat_cli.matching.refine import refine as refine_by
from xfeat_cli.model.labels import CENTRE, CORNER, Labels
from xfeat_cli.model.network import CELL, Refiner
from xfeat_cli.types import Features, Matches, PointMatches

SIZE = (640, 480)


def _features(points: list[tuple[float, float]], scales: list[float], seed: int = 0) -> Features:
    n = len(points)
    return Features(
        np.array(points, np.float32).reshape(n, 2),
        np.ones(n, np.float32),
        np.random.default_rng(seed).normal(size=(n, 64)).astype(np.float32),
        SIZE,
        np.array(scales, np.float32),
    )


def _matches(*pairs: tuple[int, int]) -> Matches:
    return Matches(np.array(pairs, np.int32).reshape(-1, 2), np.ones(len(pairs), np.float32))


def refine(refiner: Callable[..., Tensor], *args: Any, labels: Labels = CORNER) -> PointMatches:
    return refine_by(refiner, *args, labels)


class _FakeRefiner:
    """Answers pixel (column, row) of the cell whose descriptor comes first, whatever the second says."""

    def __init__(self, *answers: tuple[Features, list[tuple[int, int]]], logit: float = 50) -> None:
        self.answers = [(torch.from_numpy(features.descriptors), labels) for features, labels in answers]
        self.logit = logit

    def __call__(self, descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        logits = torch.zeros(len(descriptors0), CELL * CELL)
        for i, descriptor in enumerate(descriptors0):
            for known, labels in self.answers:
                for row in (known == descriptor).all(1).nonzero()[:, 0].tolist():
                    column, line = labels[row]
                    logits[i, CELL * line + column] = self.logit
        return logits


def test_each_end_moves_to_the_centre_of_its_label_times_its_scale() -> None:
    a = _features([(100, 50), (200, 60)], [1.0, 2.5], seed=0)
    b = _features([(30, 40), (300, 200), (0, 0)], [0.75, 4.0, 1.0], seed=1)
    refiner = _FakeRefiner((a, [(0, 0), (7, 2)]), (b, [(1, 6), (3, 4), (0, 0)]))
    refined = refine(refiner, a, b, _matches((0, 1), (1, 0)), 0.25)
    np.testing.assert_allclose(refined.points0, [(100 + 0.5, 50 + 0.5), (200 + 7.5 * 2.5, 60 + 2.5 * 2.5)], atol=1e-4)
    np.testing.assert_allclose(refined.points1, [(300 + 3.5 * 4, 200 + 4.5 * 4), (30 + 1.5 * 0.75, 40 + 6.5 * 0.75)])
    np.testing.assert_allclose(refined.scores, [1, 1], atol=1e-5)
    assert refined.points0.dtype == refined.points1.dtype == refined.scores.dtype == np.float32


def test_with_labels_from_the_centre_each_end_moves_by_half_its_own_offset() -> None:
    a, b = _features([(100, 50)], [1.0], seed=0), _features([(30, 40)], [0.5], seed=1)
    refiner = _FakeRefiner((a, [(7, 2)]), (b, [(1, 4)]))
    refined = refine(refiner, a, b, _matches((0, 0)), 0.25, labels=CENTRE)
    np.testing.assert_allclose(refined.points0, [(100 + 3.5 / 2, 50 - 1.5 / 2)])
    np.testing.assert_allclose(refined.points1, [(30 - 2.5 / 4, 40 + 0.5 / 4)])


def test_the_position_is_the_mean_of_the_sharpened_answer() -> None:
    one = _features([(100, 100)], [2.0])
    logits = torch.full((1, 64), -50.0)
    logits[0, 8 * 3 + 2], logits[0, 8 * 3 + 3] = np.log(3) / CORNER.sharpness, 0  # 3 to 1
    refined = refine(lambda d0, d1: logits, one, one, _matches((0, 0)), 0.25)
    np.testing.assert_allclose(refined.points0, [(100 + 2 * 2.75, 100 + 2 * 3.5)], atol=1e-4)
    np.testing.assert_allclose(refined.scores, [0.75], atol=1e-5)


@pytest.mark.parametrize("labels", [CORNER, CENTRE], ids=["corner", "centre"])
def test_an_image_matched_with_itself_has_no_offset_whatever_the_weights(labels: Labels) -> None:
    torch.manual_seed(0)
    refiner = Refiner().eval()
    random = np.random.default_rng(2)
    points = [tuple(p) for p in random.uniform(0, 400, (200, 2))]
    features = _features(points, random.choice([1 / 0.6, 1 / 1.3], 200).tolist())
    with torch.inference_mode():
        refined = refine(refiner, features, features, _matches(*((i, i) for i in range(200))), 0, labels=labels)
    assert len(refined) == 200
    np.testing.assert_array_equal(refined.points0, refined.points1)


def test_swapping_the_images_swaps_the_points() -> None:
    torch.manual_seed(0)
    refiner = Refiner().eval()
    a = _features([(100, 50), (200, 60)], [1.0, 2.5], seed=0)
    b = _features([(30, 40), (300, 200)], [0.75, 4.0], seed=1)
    with torch.inference_mode():
        there = refine(refiner, a, b, _matches((0, 1), (1, 0)), 0)
        back = refine(refiner, b, a, _matches((1, 0), (0, 1)), 0)
    np.testing.assert_allclose(there.points0, back.points1, atol=1e-4)
    np.testing.assert_allclose(there.points1, back.points0, atol=1e-4)
    np.testing.assert_allclose(there.scores, back.scores, atol=1e-6)


def test_the_score_is_the_smaller_confidence_and_decides() -> None:
    a, b = _features([(100, 100)], [1.0], seed=0), _features([(200, 200)], [1.0], seed=1)

    def refiner(descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        sure = torch.equal(descriptors0, torch.from_numpy(a.descriptors))
        logits = torch.full((1, 64), -99.0)
        logits[0, : 1 if sure else 4] = 0  # one answer, or four equal ones
        return logits

    np.testing.assert_allclose(refine(refiner, a, b, _matches((0, 0)), 0.2).scores, [0.25], atol=1e-6)
    np.testing.assert_allclose(refine(refiner, b, a, _matches((0, 0)), 0.2).scores, [0.25], atol=1e-6)
    assert len(refine(refiner, a, b, _matches((0, 0)), 0.3)) == 0
    assert len(refine(refiner, b, a, _matches((0, 0)), 0.3)) == 0


@pytest.mark.parametrize(
    ("point", "stays"),
    [((632, 472), True), ((633, 472), False), ((632, 473), False), ((-9, 9), False), ((-8, 9), True)],
)
def test_points_outside_their_image_are_dropped(point: tuple[float, float], stays: bool) -> None:
    """Label 7 of an unscaled cell moves by 7.5; the image ends at 639.5, 479.5 and begins at −0.5."""
    inside, tested = _features([(50, 50)], [1.0], seed=0), _features([point], [1.0], seed=1)
    refiner = _FakeRefiner((inside, [(0, 0)]), (tested, [(7, 7)]))
    assert len(refine(refiner, inside, tested, _matches((0, 0)), 0.25)) == stays
    assert len(refine(refiner, tested, inside, _matches((0, 0)), 0.25)) == stays


def test_no_matches_stay_no_matches() -> None:
    features = _features([(100, 100)], [1.0])
    with torch.inference_mode():
        refined = refine(Refiner().eval(), features, features, _matches(), 0.25)
    assert refined.points0.shape == refined.points1.shape == (0, 2)
    assert refined.scores.shape == (0,)


def test_sparse_features_are_refused() -> None:
    sparse = Features(np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.zeros((1, 64), np.float32), SIZE)
    with pytest.raises(ValueError, match="semi-dense"):
        refine(Refiner().eval(), sparse, sparse, _matches((0, 0)), 0.25)
