"""Accuracy on warped photographs: exact answers, and the same pairs for every weights file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xfeat_cli.config import Precision
from xfeat_cli.evaluation.warps import _errors, _true_places, evaluate_warps, threshold_keeping
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.weights import load
from xfeat_cli.synthesis.pairs import Pairs


def shifted(dx: float, dy: float, size: tuple[int, int] = (32, 48)) -> Pairs:
    """A pair whose image 1 shows at (x, y) what image 0 shows at (x + dx, y + dy)."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    to0 = torch.stack([x + dx, y + dy], -1)[None].float()
    visible = (to0 >= 0).all(-1) & (to0 <= torch.tensor([size[1] - 1, size[0] - 1])).all(-1)
    image = torch.zeros(1, 1, *size)
    return Pairs(image, image, image, image, to0, visible)


def test_true_places_between_pixels() -> None:
    places, seen = _true_places(shifted(2.25, -1), np.array([[10.5, 20.25], [0, 0], [46, 10]], np.float32))
    np.testing.assert_allclose(places[0], [12.75, 19.25], atol=1e-5)
    assert seen.tolist() == [True, False, False]


def test_errors_are_signed() -> None:
    points1 = np.array([[10, 10], [20, 12]], np.float32)
    error, seen = _errors(shifted(3, 1), points1 + np.array([3, 1]) + np.array([[0.5, 0], [0, -0.25]]), points1)
    np.testing.assert_allclose(error, [[0.5, 0], [0, -0.25]], atol=1e-5)
    assert seen.all()


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.5), (0.9, 0.54), (0.5, 0.74)])
def test_the_threshold_keeps_its_share(share: float, expected: float) -> None:
    cosines = np.linspace(0.5, 1, 101)[:-1]
    threshold = threshold_keeping(cosines, share)
    assert threshold == pytest.approx(expected, abs=0.011)
    assert (cosines >= threshold).mean() >= share


def test_no_correct_match_asks_for_no_threshold() -> None:
    assert threshold_keeping(np.zeros(0), 0.95) == -1


def test_the_shipped_weights_match_warped_photographs(photograph: np.ndarray) -> None:
    gray = torch.from_numpy(photograph.mean(2).astype(np.uint8))
    runtime = Runtime(load("default"), "cpu", Precision.FP32)
    one, again = (evaluate_warps(runtime, [gray], 3, seed=1) for _ in range(2))
    assert one == again
    assert one.accuracy[1] > 40
    assert one.accuracy[0] < one.accuracy[1] < one.accuracy[2]
    assert one.refined_px is not None
    assert one.refined_px < 4
