"""Views of the canvases of a batch: single ones, or pairs with where each pixel of one view lies in the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from xfeat_cli.coordinates import rescale
from xfeat_cli.synthesis import geometry
from xfeat_cli.synthesis.geometry import Strength
from xfeat_cli.synthesis.light import Light, change

CANVAS_PER_VIEW = 1.5
"""Side of the canvas that a pair is sampled from, in sides of the view."""

_LEVELS = (1.0, 0.7071, 0.5, 0.3536)
"""Sizes at which a canvas is kept, so that a view that reduces it is not aliased."""


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs. image0, image1: (B, 1, H, W) in [0, 1]; clean0, clean1: the same before the change of light.

    to0: (B, H, W, 2), where each pixel of image 1 lies in image 0, pixels (x, y). visible: (B, H, W), whether image 0
    shows it: inside the frame, on the canvas, not hidden by the layer in front.
    """

    image0: Tensor
    image1: Tensor
    clean0: Tensor
    clean1: Tensor
    to0: Tensor
    visible: Tensor


@dataclass(frozen=True)
class Crops:
    """A batch of single views. image: (B, 1, H, W) in [0, 1]; clean: the same before the change of light."""

    image: Tensor
    clean: Tensor


def make_crops(
    generator: Generator, canvases: Tensor, view: tuple[int, int], strength: Strength, light: Light
) -> Crops:
    """Return a view of (height, width) of each canvas (B, 1, h, w) in [0, 1]."""
    canvas = (canvases.shape[2], canvases.shape[3])
    back, _ = geometry.random_views(generator, len(canvases), view, canvas, strength)
    seen = geometry.apply(back, geometry.pixels(view, canvases.device))
    clean = _sample(_pyramid(canvases), canvas, seen, _level(back, view))
    return Crops(change(generator, clean, light), clean)


def make_pairs(
    generator: Generator, canvases: Tensor, view: tuple[int, int], strength: Strength, light: Light
) -> Pairs:
    """Return pairs of views of (height, width) from canvases (B, 1, h, w) in [0, 1], all on the generator's device."""
    count, _, *canvas_sides = canvases.shape
    canvas = (canvas_sides[0], canvas_sides[1])
    device = canvases.device
    back0, back1 = geometry.random_views(generator, count, view, canvas, strength)
    front0, front1 = (geometry.nearby(generator, h, canvas) for h in (back0, back1))
    blobs = geometry.random_blobs(generator, count, canvas, strength.layer)
    foreign = geometry.uniform(generator, count, low=0.0, high=1.0) < 0.5
    textures = torch.where(foreign[:, None, None, None], canvases.roll(1, 0), canvases)
    pixels = geometry.pixels(view, device)

    seen0, layer0 = geometry.apply(back0, pixels), geometry.apply(front0, pixels)
    field = geometry.smooth_field(generator, count, view, strength.field_px, strength.field)
    seen1 = geometry.apply(back1, pixels) + field
    layer1 = geometry.apply(front1, pixels)

    pyramid, fronts = _pyramid(canvases), _pyramid(textures)
    clean = []
    for seen, layer, homographies in ((seen0, layer0, back0), (seen1, layer1, back1)):
        level = _level(homographies, view)
        behind, before = _sample(pyramid, canvas, seen, level), _sample(fronts, canvas, layer, level)
        clean.append(torch.where(geometry.on(blobs, layer, canvas)[:, None], before, behind))

    in_front = geometry.on(blobs, layer1, canvas)
    behind0 = geometry.apply(torch.linalg.inv(back0), seen1)
    to0 = torch.where(in_front[..., None], geometry.apply(torch.linalg.inv(front0), layer1), behind0)
    hidden = ~in_front & geometry.on(blobs, geometry.apply(front0, behind0), canvas)
    on_canvas = _inside(torch.where(in_front[..., None], layer1, seen1), canvas)
    images = change(generator, torch.cat(clean), light)
    return Pairs(images[:count], images[count:], clean[0], clean[1], to0, _inside(to0, view) & on_canvas & ~hidden)


def _inside(points: Tensor, size: tuple[int, int]) -> Tensor:
    x, y = points.unbind(-1)
    return (x >= 0) & (y >= 0) & (x <= size[1] - 1) & (y <= size[0] - 1)


def _pyramid(canvases: Tensor) -> Tensor:
    """Return the canvas at all of _LEVELS, one below the other: (B, 1, Σh, w)."""
    height, width = canvases.shape[-2:]
    levels = [canvases]
    for scale in _LEVELS[1:]:
        small = F.interpolate(canvases, (round(height * scale), round(width * scale)), mode="bilinear", antialias=True)
        levels.append(F.pad(small, (0, width - small.shape[-1])))
    return torch.cat(levels, 2)


def _level(homographies: Tensor, view: tuple[int, int]) -> Tensor:
    """Return which level suits each view (B,): by the area of the canvas that the middle of the view covers."""
    middle = torch.tensor([view[1] / 2, view[0] / 2], device=homographies.device)
    corners = middle + torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], device=homographies.device)
    origin, x, y = geometry.apply(homographies, corners[None]).unbind(-2)
    (a, b), (c, d) = (x - origin)[:, 0].unbind(-1), (y - origin)[:, 0].unbind(-1)
    reduction = (a * d - b * c).abs().clamp_min(1e-6).sqrt()
    return (2 * reduction.log2()).round().long().clamp(0, len(_LEVELS) - 1)


def _sample(pyramid: Tensor, canvas: tuple[int, int], points: Tensor, level: Tensor) -> Tensor:
    """Return bilinear values at canvas points (B, H, W, 2) from each image's level, edges clamped: (B, 1, H, W)."""
    heights = [round(canvas[0] * scale) for scale in _LEVELS]
    widths = [round(canvas[1] * scale) for scale in _LEVELS]
    top = torch.tensor([sum(heights[:i]) for i in range(len(heights))], device=points.device)[level][:, None, None]
    height = torch.tensor(heights, device=points.device)[level][:, None, None]
    width = torch.tensor(widths, device=points.device)[level][:, None, None]
    x, y = rescale(points[..., 0], width / canvas[1]), rescale(points[..., 1], height / canvas[0])
    x, y = torch.minimum(x.clamp_min(0), width - 1.0), torch.minimum(y.clamp_min(0), height - 1.0) + top
    grid = geometry.to_grid(torch.stack([x, y], -1), (pyramid.shape[2], pyramid.shape[3]))
    return F.grid_sample(pyramid, grid, mode="bilinear", padding_mode="border", align_corners=False)
