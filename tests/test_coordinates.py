from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from xfeat_cli.coordinates import (
    cell_to_pixel,
    from_colmap,
    from_upright,
    is_orientation,
    offset_from_upright,
    pixel_to_cell,
    pixel_to_grid,
    rescale,
    stored_pixels,
    to_colmap,
    to_upright,
    turned,
    upright_pixels,
    upright_size,
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


# Orientations


ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (1.25, 3.0)),
        (2, (8 - 1.25, 3.0)),
        (3, (8 - 1.25, 5 - 3.0)),
        (4, (1.25, 5 - 3.0)),
        (5, (3.0, 1.25)),
        (6, (5 - 3.0, 1.25)),
        (7, (5 - 3.0, 8 - 1.25)),
        (8, (3.0, 8 - 1.25)),
    ],
)
def test_where_a_point_of_a_9_by_6_image_lies_upright(orientation: int, expected: tuple[float, float]) -> None:
    assert to_upright(1.25, 3.0, (9, 6), orientation) == expected
    assert from_upright(*expected, (9, 6), orientation) == (1.25, 3.0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_edges_of_the_image_stay_its_edges(orientation: int) -> None:
    width, height = upright_size((9, 6), orientation)
    corners = {to_upright(x, y, (9, 6), orientation) for x in (-0.5, 8.5) for y in (-0.5, 5.5)}
    assert corners == {(x, y) for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_turn_as_exif_asks_and_as_points_do(orientation: int) -> None:
    stored = np.arange(54, dtype=np.uint8).reshape(6, 9)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    upright = upright_pixels(stored, orientation)
    np.testing.assert_array_equal(upright, np.asarray(ImageOps.exif_transpose(image)))
    np.testing.assert_array_equal(stored_pixels(upright, orientation), stored)
    assert upright_size((9, 6), orientation) == upright.shape[::-1]
    for y, x in np.ndindex(stored.shape):
        u, v = to_upright(x, y, (9, 6), orientation)
        assert upright[v, u] == stored[y, x]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_steps_turn_as_points_do(orientation: int) -> None:
    start, end = from_upright(1.0, 2.0, (9, 6), orientation), from_upright(1.5, 4.0, (9, 6), orientation)
    assert offset_from_upright(0.5, 2.0, orientation) == (end[0] - start[0], end[1] - start[1])


@pytest.mark.parametrize("quarters", range(-1, 5))
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_orientation_turned_further(orientation: int, quarters: int) -> None:
    stored = np.arange(54).reshape(6, 9)
    expected = np.rot90(upright_pixels(stored, orientation), -quarters)
    np.testing.assert_array_equal(upright_pixels(stored, turned(orientation, quarters)), expected)


def test_what_is_an_orientation() -> None:
    assert [n for n in (0, *ORIENTATIONS, 9, "6", None, 6.5) if is_orientation(n)] == [*ORIENTATIONS]
