from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xfeat_cli.coordinates import (
    cell_to_pixel,
    from_colmap,
    pixel_to_cell,
    pixel_to_grid,
    rescale,
    to_colmap,
)

KINDS = [float, np.array, torch.tensor]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("converted", "position", "expected"),
    [
        (lambda x: rescale(x, 0.5), 0.5, 0.0),  # the border between two pixels is the middle of their half-size pixel
        (lambda x: rescale(x, 2), 0.0, 0.5),
        (lambda x: rescale(x, 1), 7.25, 7.25),
        (lambda x: rescale(x, 3), -0.5, -0.5),  # the image's edge stays the image's edge
        (lambda x: cell_to_pixel(x, 8), 0.0, 3.5),
        (lambda x: cell_to_pixel(x, 8), 2.0, 19.5),
        (lambda x: pixel_to_cell(x, 8), 3.5, 0.0),
        (lambda x: pixel_to_cell(x, 8), 0.0, -0.4375),
        (lambda x: pixel_to_grid(x, 10), -0.5, -1.0),
        (lambda x: pixel_to_grid(x, 10), 9.5, 1.0),
        (lambda x: pixel_to_grid(x, 10), 4.5, 0.0),
        (to_colmap, 0.0, 0.5),
        (from_colmap, 0.5, 0.0),
    ],
)
def test_exact_answers(
    kind: Callable[[float], Any], converted: Callable[[Any], Any], position: float, expected: float
) -> None:
    result = converted(kind(position))
    assert type(result) in (float, np.float64, torch.Tensor)
    assert float(result) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    "there_and_back",
    [
        lambda x: rescale(rescale(x, 0.37), 1 / 0.37),
        lambda x: pixel_to_cell(cell_to_pixel(x, 8), 8),
        lambda x: from_colmap(to_colmap(x)),
    ],
)
def test_inverse_pairs(there_and_back: Callable[[Any], Any]) -> None:
    positions = np.linspace(-0.5, 1200, 97)
    np.testing.assert_allclose(there_and_back(positions), positions, atol=1e-9)


@pytest.mark.parametrize("new_size", [8, 24, 40])
def test_rescale_is_the_rule_of_torch_and_opencv(new_size: int) -> None:
    """A ramp holds its own coordinate, so a resized ramp holds where each new pixel came from."""
    size = 20
    ramp = np.tile(np.arange(size, dtype=np.float32), (size, 1))
    came_from = rescale(np.arange(new_size), size / new_size).clip(0, size - 1)

    by_opencv = cv2.resize(ramp, (new_size, new_size), interpolation=cv2.INTER_LINEAR)
    by_torch = F.interpolate(torch.from_numpy(ramp)[None, None], (new_size, new_size), mode="bilinear")
    np.testing.assert_allclose(by_opencv[0], came_from, atol=1e-5)
    np.testing.assert_allclose(by_torch[0, 0, 0].numpy(), came_from, atol=1e-5)


def test_pixel_to_grid_is_the_rule_of_grid_sample() -> None:
    width, height = 20, 12
    x_ramp = torch.arange(width).float().expand(height, width)
    y_ramp = torch.arange(height).float()[:, None].expand(height, width)
    points = torch.tensor([[0.0, 0.0], [7.25, 3.5], [19.0, 11.0], [0.5, 10.75]])
    grid = torch.stack([pixel_to_grid(points[:, 0], width), pixel_to_grid(points[:, 1], height)], 1)
    sampled = F.grid_sample(torch.stack([x_ramp, y_ramp])[None], grid[None, None], align_corners=False)
    torch.testing.assert_close(sampled[0, :, 0].T, points, atol=1e-5, rtol=0)
