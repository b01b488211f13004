"""Exact answers of the refiner's labels, both ways."""

from __future__ import annotations

import pytest
import torch

from xfeat_cli.model.labels import CENTRE, CORNER, LABELS, Labels
from xfeat_cli.model.network import CELL


def one_hot(column: int, row: int) -> torch.Tensor:
    logits = torch.full((1, CELL * CELL), -1e4)
    logits[0, row * CELL + column] = 1e4
    return logits


@pytest.mark.parametrize(("labels", "expected"), [(CORNER, (2.5, 6.5)), (CENTRE, (-1.5, 2.5))])
def test_a_certain_answer_is_its_position(labels: Labels, expected: tuple[float, float]) -> None:
    offsets, confidence = labels.decode(one_hot(column=2, row=6))
    torch.testing.assert_close(offsets, torch.tensor([expected]))
    assert confidence.item() == 1


def test_no_preference_is_no_offset_from_the_centre() -> None:
    offsets, confidence = CENTRE.decode(torch.zeros(1, CELL * CELL))
    torch.testing.assert_close(offsets, torch.zeros(1, 2))
    torch.testing.assert_close(confidence, torch.tensor([1 / (1 + 2 * 5.0)]))


def test_what_the_prior_draws_to_the_middle_is_drawn_back() -> None:
    offsets = torch.linspace(-3.5, 3.5, 701)
    prior = (CELL**2 - 1) / 12
    belief = torch.softmax(-0.5 * (offsets - 1.0) ** 2 / 0.6 - 0.5 * offsets**2 / prior, 0)
    answer = (belief[:, None] * CENTRE.targets(torch.stack([offsets, torch.zeros_like(offsets)], 1))).sum(0)
    decoded, _ = CENTRE.decode(answer.log()[None])
    assert (belief * offsets).sum() < 0.91
    torch.testing.assert_close(decoded, torch.tensor([[1.0, 0.0]]), atol=0.02, rtol=0)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_targets_are_what_decoding_undoes(labels: Labels) -> None:
    offsets = labels.first + torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * (CELL - 1)
    targets = labels.targets(offsets)
    torch.testing.assert_close(targets.sum(1), torch.ones(200))
    assert ((targets > 0).sum(1) <= 4).all()
    decoded, _ = labels.decode(targets.log() / labels.sharpness)
    torch.testing.assert_close(decoded, offsets, atol=1e-4, rtol=0)


def test_targets_out_of_reach_are_the_nearest_label() -> None:
    decoded, confidence = CENTRE.decode(CENTRE.targets(torch.tensor([[-9.0, 5.0]])).log())
    torch.testing.assert_close(decoded, torch.tensor([[-3.5, 3.5]]))
    assert confidence.item() == 1


def test_our_labels_reach_equally_far_to_both_sides() -> None:
    reach = CENTRE.first + torch.arange(CELL)
    torch.testing.assert_close(reach, -reach.flip(0))
    assert CENTRE.reference == (CELL - 1) / 2
