"""Exact answers of turns and of the symmetric keypoint target."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from xfeat_cli.model.network import CELL
from xfeat_cli.training import keypoint_maps, symmetric
from xfeat_cli.training.turns import TURNS, turned, turned_back


def test_turns_are_eight_different_ones_and_go_back() -> None:
    image = torch.arange(35.0).view(1, 5, 7)
    assert len({tuple(turned(image, turn).flatten().tolist()) for turn in TURNS}) == len(TURNS)
    for turn in TURNS:
        assert torch.equal(turned_back(turned(image, turn), turn), image)
    assert turned(image, 1)[0, 0, 0] == image[0, 0, 6]  # counter-clockwise, the right edge comes up
    assert turned(image, 4)[0, 0, 0] == image[0, 0, 6]
    assert turned(image, 4).shape == image.shape


@pytest.mark.parametrize("point", [(20.0, 12.0), (20.4, 11.7), (9.5, 30.5)])
def test_a_keypoint_has_its_mass_and_its_centroid_wherever_it_lies_between_pixels(point: tuple[float, float]) -> None:
    heat = keypoint_maps.spread(torch.tensor([1]), torch.tensor([point]), torch.tensor([0.6]), (2, 40, 48))
    assert heat.shape == (2, 40, 48)
    assert heat[0].sum() == 0
    assert heat[1].sum().item() == pytest.approx(0.6, abs=1e-6)
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    assert (heat[1] * x).sum().item() / 0.6 == pytest.approx(point[0], abs=0.01)
    assert (heat[1] * y).sum().item() / 0.6 == pytest.approx(point[1], abs=0.01)
    assert heat.max() > 0.6 * 0.19  # at worst between four pixels


def test_what_falls_outside_is_lost() -> None:
    corner = keypoint_maps.spread(torch.tensor([0]), torch.zeros(1, 2), torch.ones(1), (1, 16, 16))
    assert 0.25 < corner.sum() < 0.65
    assert torch.equal(corner[0], corner[0].T)


@pytest.mark.parametrize("bias", [(2.0, -1.0), (0.0, 0.0), (0.5, -1.25)])
def test_maps_move_back_by_the_bias(bias: tuple[float, float]) -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    blob = 0.5 * torch.exp(-((x - 24 - bias[0]) ** 2 + (y - 17 - bias[1]) ** 2) / (2 * 1.5**2))
    back = symmetric.moved_back(blob[None], bias)[0]
    assert (back * x).sum() / back.sum() == pytest.approx(24, abs=0.06)
    assert (back * y).sum() / back.sum() == pytest.approx(17, abs=0.06)
    assert back.sum() == pytest.approx(float(blob.sum()), rel=0.01)
    if bias == (0.0, 0.0):
        torch.testing.assert_close(back, blob)


def biased_logits(right: int, down: int, brightest: float = 12.0) -> object:
    """A head that sees bright pixels and puts its keypoints beside them, all within their cell."""

    def logits(images: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = images.shape
        cells = F.pixel_unshuffle(images, CELL).view(batch, CELL, CELL, height // CELL, width // CELL)
        beside = cells.roll((down, right), (1, 2)).flatten(1, 2) * brightest
        return torch.cat([beside, torch.full_like(beside[:, :1], 6.0)], 1)

    return logits


@pytest.mark.parametrize("bias", [(0, 0), (0, 1), (1, -2)])
def test_a_biased_head_teaches_the_place_that_it_saw(bias: tuple[int, int]) -> None:
    image = torch.zeros(1, 1, 64, 96)
    seen = [(20, 12), (50, 29), (75, 43)]  # away from the edges of cells, where a head of cells is blind
    for x, y in seen:
        image[0, 0, y, x] = 1
    target = symmetric.symmetric_probabilities(biased_logits(*bias), image, 1, bias)  # type: ignore[arg-type]
    torch.testing.assert_close(target.sum(1), torch.ones(1, 8, 12))
    heat = F.pixel_shuffle(target[:, :-1], CELL)[0, 0]
    peaks = (heat == F.max_pool2d(heat[None, None], 5, 1, 2)[0, 0]) & (heat > 0.05)
    assert sorted((x, y) for y, x in peaks.nonzero().tolist()) == sorted(seen)


def test_the_target_of_a_turned_image_is_the_turned_target() -> None:
    image = torch.rand(1, 1, 64, 96, generator=torch.Generator().manual_seed(0)) ** 8

    def target(images: torch.Tensor) -> torch.Tensor:
        cells = symmetric.symmetric_probabilities(biased_logits(1, 1), images, 4, (1, 1))  # type: ignore[arg-type]
        return F.pixel_shuffle(cells[:, :-1], CELL)[:, 0]

    upright = target(image)
    assert upright.max() > 0.03
    for turn in TURNS:
        torch.testing.assert_close(turned_back(target(turned(image, turn).contiguous()), turn), upright)


def test_a_crowded_cell_shares_its_probability() -> None:
    keypoints = torch.zeros(1, 8, 16)
    keypoints[0, 2, 3], keypoints[0, 6, 1], keypoints[0, 4, 12] = 0.9, 0.6, 0.3
    cells = keypoint_maps.cell_probabilities(keypoints)
    torch.testing.assert_close(cells[0, [2 * 8 + 3, 6 * 8 + 1, 64], 0, 0], torch.tensor([0.6, 0.4, 0.0]))
    torch.testing.assert_close(cells[0, [4 * 8 + 4, 64], 0, 1], torch.tensor([0.3, 0.7]))
