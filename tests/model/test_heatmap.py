"""The heatmap and its average over shifted grids of cells."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.model import heatmap, weights
from xfeat_cli.model.heatmap import GRIDS
from xfeat_cli.model.network import CELL
from xfeat_cli.model.torch_network import folded_network


def bright_pixels(image: Tensor) -> Tensor:
    """A keypoint head that is sure of bright pixels."""
    cells = F.pixel_unshuffle(image, CELL)
    return 40 * torch.cat([cells, torch.full_like(cells[:, :1], 0.5)], 1)


def brightest_pixel_of_a_cell(image: Tensor) -> Tensor:
    """A head that sees at most one keypoint in a cell, as the network's."""
    cells = F.pixel_unshuffle(image, CELL)
    return 40 * torch.cat([cells * (cells == cells.amax(1, keepdim=True)), torch.full_like(cells[:, :1], 0.5)], 1)


def image_with(*pixels: tuple[int, int], size: tuple[int, int] = (32, 64)) -> Tensor:
    image = torch.zeros(1, 1, *size)
    for x, y in pixels:
        image[0, 0, y, x] = 1
    return image


def test_logits_become_probabilities_at_their_pixels() -> None:
    logits = torch.full((1, 65, 2, 3), -50.0)
    logits[:, 64] = 0
    logits[0, 8 * 5 + 2, 1, 2] = 50  # row 5, column 2 of the cell in row 1, column 2
    found = heatmap.from_logits(logits)
    assert found.shape == (1, 16, 24)
    assert found[0, 8 + 5, 16 + 2] == pytest.approx(1)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("grids", GRIDS)
@pytest.mark.parametrize("pixel", [(0, 0), (63, 31), (7, 8), (12, 20), (4, 4)])
def test_every_grid_puts_a_pixel_where_it_is(grids: int, pixel: tuple[int, int]) -> None:
    image = image_with(pixel)
    first = heatmap.from_logits(bright_pixels(image))
    found = heatmap.averaged(first, bright_pixels, image, grids)
    assert found.shape == (1, 32, 64)
    assert found[0, pixel[1], pixel[0]] == pytest.approx(1, abs=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-4)


def test_a_neighbour_in_the_same_cell_is_seen_by_another_grid() -> None:
    image = image_with((15, 13)) + 0.9 * image_with((8, 13))
    first = heatmap.from_logits(brightest_pixel_of_a_cell(image))
    assert first[0, 13, 8] < 1e-3
    found = heatmap.averaged(first, brightest_pixel_of_a_cell, image, 4)
    assert found[0, 13, 8] == pytest.approx(0.5, abs=0.01)  # the two grids shifted along x part them


def test_one_grid_is_the_head_as_it_is() -> None:
    first = torch.rand(1, 32, 64)
    assert heatmap.averaged(first, bright_pixels, image_with((3, 3)), 1) is first


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 64)])
def test_one_convolution_sees_the_cells_of_all_four_grids(size: tuple[int, int]) -> None:
    head = folded_network(weights.load("default")).keypoint_head
    image = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))

    def logits(image: Tensor) -> Tensor:
        return head(F.pixel_unshuffle(image, CELL))

    with torch.inference_mode():
        expected = heatmap.averaged(heatmap.from_logits(logits(image)), logits, image, 4)
        found = heatmap.from_block_logits(heatmap.head_of_blocks(head)(F.pixel_unshuffle(image, heatmap.BLOCK)))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5
