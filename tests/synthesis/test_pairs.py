"""Pairs of views: what image 0 shows at the given place is what image 1 shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xfeat_cli.coordinates import pixel_to_grid
from xfeat_cli.synthesis import geometry
from xfeat_cli.synthesis.geometry import Strength
from xfeat_cli.synthesis.light import Light, change, compress
from xfeat_cli.synthesis.pairs import Pairs, make_pairs

VIEW, CANVAS = (96, 128), (144, 192)
UNCHANGED = Light(0, 0, 0, 0, 0, 0, 0, 0, 0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_canvases(count: int, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(count, 1, 9, 12, generator=generator(seed))
    return F.interpolate(coarse, CANVAS, mode="bicubic", align_corners=False).clamp(0, 1)


def seen_from_1(pairs: Pairs) -> torch.Tensor:
    """Image 0 sampled where image 1's pixels lie."""
    x, y = pairs.to0.unbind(-1)
    grid = torch.stack([pixel_to_grid(x, VIEW[1]), pixel_to_grid(y, VIEW[0])], -1)
    return F.grid_sample(pairs.clean0, grid, align_corners=False)


@pytest.mark.parametrize(
    "strength",
    [Strength(layer=0, field=0), Strength(layer=0, field=1), Strength(layer=1, field=1)],
    ids=["homography", "field", "layer"],
)
def test_both_views_show_the_same_at_corresponding_pixels(strength: Strength) -> None:
    pairs = make_pairs(generator(1), smooth_canvases(12), VIEW, strength, Light())
    difference = (seen_from_1(pairs) - pairs.clean1).abs()[:, 0][pairs.visible]
    assert pairs.visible.float().mean() > 0.3
    assert difference.median() < 0.005
    assert difference.quantile(0.98) < 0.06  # a smooth field's inverse is not taken: its fold may hide a little


def test_without_any_change_pixels_stay_where_they_are() -> None:
    still = Strength(rotation_deg=0, scale=1, shift=0, perspective=0, shear=0, field=0, layer=0)
    views0, views1 = geometry.random_views(generator(), 5, VIEW, CANVAS, still)
    to0 = geometry.apply(torch.linalg.inv(views0) @ views1, geometry.pixels(VIEW, torch.device("cpu")))
    expected = geometry.pixels(VIEW, torch.device("cpu")).expand_as(to0)
    # The views may stand at other places of the canvas: that is a shift, the same for all pixels.
    torch.testing.assert_close(to0 - to0[:, :1, :1], expected - expected[:, :1, :1], atol=1e-2, rtol=0)


def test_a_homography_moves_points_exactly() -> None:
    shift_and_double = torch.tensor([[[2.0, 0.0, 3.0], [0.0, 2.0, -1.0], [0.0, 0.0, 1.0]]])
    points = torch.tensor([[[[5.0, 7.0]]]])
    torch.testing.assert_close(geometry.apply(shift_and_double, points), torch.tensor([[[[13.0, 13.0]]]]))


def test_what_the_layer_hides_is_not_visible() -> None:
    without = make_pairs(generator(3), smooth_canvases(8), VIEW, Strength(layer=0, field=0), UNCHANGED)
    with_layer = make_pairs(generator(3), smooth_canvases(8), VIEW, Strength(layer=1, field=0), UNCHANGED)
    assert with_layer.visible.sum() < without.visible.sum()


def test_no_change_of_light_leaves_the_images() -> None:
    images = smooth_canvases(3)[:, :, :96, :128]
    torch.testing.assert_close(change(generator(), images, UNCHANGED), images, atol=0.5 / 255 + 1e-3, rtol=0)


def test_changed_images_stay_in_range_and_differ_from_each_other() -> None:
    images = smooth_canvases(1)[:, :, :96, :128].expand(6, -1, -1, -1)
    changed = change(generator(2), images, Light())
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len({round(float(one.mean()), 4) for one in changed}) == 6


def test_jpeg_is_what_a_real_encoder_leaves() -> None:
    import cv2

    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (96, 128)).astype(np.uint8), (0, 0), 2)
    real = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE)
    ours = compress(torch.from_numpy(image)[None, None].float() / 255, torch.tensor([40.0]))[0, 0].numpy() * 255
    assert np.abs(ours - real).mean() < 0.5
    assert np.abs(real - image.astype(float)).mean() > 2 * np.abs(ours - real).mean()


def test_the_same_seed_gives_the_same_pairs() -> None:
    one, two = (make_pairs(generator(7), smooth_canvases(4), VIEW, Strength(), Light()) for _ in range(2))
    torch.testing.assert_close(one.image1, two.image1, atol=0, rtol=0)
    torch.testing.assert_close(one.to0, two.to0, atol=0, rtol=0)
