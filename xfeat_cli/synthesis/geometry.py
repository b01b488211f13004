"""Random geometry of image pairs: homographies, smooth fields, and a layer in front that moves by itself.

Points are (x, y) pixels, (0, 0) at the centre of the top-left pixel. A homography (B, 3, 3) maps points of a view to
points of the canvas that the view is sampled from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from xfeat_cli.coordinates import pixel_to_grid

_BLOB_CORNERS = 8
_BLOB_STEP = 4
"""Pixels of the canvas per pixel of a spot's mask."""


@dataclass(frozen=True)
class Strength:
    """How far the two views of a pair may differ; each pair draws its own share, so easy pairs occur too.

    rotation_deg: largest turn between the views. scale: largest ratio of their scales. shift: of the view's side.
    perspective: largest change of scale from one side of a view to the other is about 1 ± this. field_px: largest
    displacement of a smooth field. field, layer: how often there is one.
    """

    rotation_deg: float = 40.0
    scale: float = 2.0
    shift: float = 0.15
    perspective: float = 0.35
    shear: float = 0.15
    field_px: float = 9.0
    field: float = 0.5
    layer: float = 0.5


EVALUATED = Strength(rotation_deg=30.0, scale=1.6, shift=0.1, perspective=0.3, shear=0.1, field=0.0, layer=0.0)
"""The change that `xfeat eval warps` measures with."""


def uniform(generator: Generator, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Return uniform numbers on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def random_views(
    generator: Generator, count: int, view: tuple[int, int], canvas: tuple[int, int], strength: Strength
) -> tuple[Tensor, Tensor]:
    """Return homographies (B, 3, 3) of both views of each pair; view and canvas are (height, width)."""
    share = uniform(generator, count, low=0.0, high=1.0).sqrt()
    turn = math.radians(strength.rotation_deg) * share * uniform(generator, count)
    ratio = math.log(strength.scale) * share * uniform(generator, count)
    room = math.log(min(canvas[0] / view[0], canvas[1] / view[1]))
    common = uniform(generator, count, low=-0.35, high=0.8) * room
    common_turn = math.radians(10) * uniform(generator, count)
    views = []
    for side in (-0.5, 0.5):
        log_scale = common + side * ratio
        angle = common_turn + side * turn
        stretch = share * strength.shear * uniform(generator, count)
        shear = share * strength.shear * uniform(generator, count)
        tilt = share[:, None] * strength.perspective * 0.5 * uniform(generator, count, 2)
        spare = (torch.tensor(canvas[::-1]) - torch.tensor(view[::-1]) * log_scale.exp()[:, None].cpu()) / 2
        spare = spare.clamp_min(0).to(share.device) * 0.5
        shift = uniform(generator, count, 2) * (spare * (1 - share[:, None]))
        shift = shift + uniform(generator, count, 2) * share[:, None] * strength.shift * min(view)
        views.append(_homography(angle, log_scale, stretch, shear, tilt, shift, view, canvas))
    return views[0], views[1]


def _homography(
    angle: Tensor,
    log_scale: Tensor,
    stretch: Tensor,
    shear: Tensor,
    tilt: Tensor,
    shift: Tensor,
    view: tuple[int, int],
    canvas: tuple[int, int],
) -> Tensor:
    """Map view pixels → canvas pixels; turned, scaled and tilted about the view's centre, then shifted on the
    canvas.
    """
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)

    def matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    cos, sin = angle.cos(), angle.sin()
    turn = matrix((cos, -sin, zero), (sin, cos, zero), (zero, zero, one))
    scale = log_scale.exp()
    size = matrix(
        (scale * stretch.exp(), scale * shear, zero), (zero, scale * (-stretch).exp(), zero), (zero, zero, one)
    )
    half = max(view) / 2
    project = matrix((one, zero, zero), (zero, one, zero), (tilt[:, 0] / half, tilt[:, 1] / half, one))
    to_centre = _translation(one * -(view[1] - 1) / 2, one * -(view[0] - 1) / 2)
    place = _translation((canvas[1] - 1) / 2 + shift[:, 0], (canvas[0] - 1) / 2 + shift[:, 1])
    return place @ turn @ size @ project @ to_centre


def _translation(x: Tensor, y: Tensor) -> Tensor:
    result = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
    result[:, 0, 2], result[:, 1, 2] = x, y
    return result


def nearby(generator: Generator, homography: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Return homographies like the given ones, but moved on the canvas: how a layer at another depth is seen."""
    count = len(homography)
    angle, log_scale = 0.12 * uniform(generator, count), 0.2 * uniform(generator, count)
    shift = 0.12 * min(canvas) * uniform(generator, count, 2)
    zero = torch.zeros_like(angle)
    moved = _homography(angle, log_scale, zero, zero, torch.zeros_like(shift), shift, canvas, canvas)
    return moved @ homography


def pixels(size: tuple[int, int], device: torch.device) -> Tensor:
    """Return (H, W, 2) coordinates of an image's pixels."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return torch.stack([x, y], -1).float().to(device)


def apply(homography: Tensor, points: Tensor) -> Tensor:
    """Return (B, 3, 3) applied to points (B, H, W, 2) or (H, W, 2): (B, H, W, 2)."""
    x, y = (axis.contiguous() for axis in points.unbind(-1))
    rows = [[entry[:, None, None] for entry in row.unbind(-1)] for row in homography.unbind(-2)]
    across, down, depth = (a * x + b * y + c for a, b, c in rows)
    inverse_depth = depth.clamp_min(1e-3).reciprocal()
    return torch.stack([across * inverse_depth, down * inverse_depth], -1)


def smooth_field(generator: Generator, count: int, size: tuple[int, int], largest: float, often: float) -> Tensor:
    """Return (B, H, W, 2) displacements that vary smoothly, zero for some of the batch."""
    cells = int(torch.randint(3, 7, (1,), generator=generator, device=generator.device))
    knots = uniform(generator, count, 2, cells, cells)
    amplitude = largest * uniform(generator, count, low=0.1, high=1.0)
    amplitude = amplitude * (uniform(generator, count, low=0.0, high=1.0) < often)
    field = F.interpolate(knots * amplitude[:, None, None, None], size, mode="bicubic", align_corners=True)
    return field.permute(0, 2, 3, 1)


def random_blobs(generator: Generator, count: int, canvas: tuple[int, int], often: float) -> Tensor:
    """Return a star-shaped spot on some of the canvases: (B, 1, h, w), 1 inside, 0 outside; read it with `on`."""
    coarse = (canvas[0] // _BLOB_STEP, canvas[1] // _BLOB_STEP)
    centre = torch.tensor(coarse[::-1], device=generator.device) * uniform(generator, count, 2, low=0.25, high=0.75)
    size = min(coarse) * uniform(generator, count, 1, low=0.1, high=0.3)
    radii = size * uniform(generator, count, _BLOB_CORNERS, low=0.5, high=1.2)
    radii = radii * (uniform(generator, count, 1, low=0.0, high=1.0) < often)
    offset = pixels(coarse, generator.device) - centre[:, None, None]
    turn = torch.atan2(offset[..., 1], offset[..., 0]) / (2 * math.pi) % 1 * _BLOB_CORNERS
    first = turn.long().clamp_max(_BLOB_CORNERS - 1)
    edges = radii[:, None, None].expand(*first.shape, _BLOB_CORNERS)
    here = edges.gather(-1, first[..., None])[..., 0]
    there = edges.gather(-1, ((first + 1) % _BLOB_CORNERS)[..., None])[..., 0]
    return (offset.norm(dim=-1) < torch.lerp(here, there, turn - first)).float()[:, None]


def to_grid(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Return points (..., 2) of a map (height, width) as grid_sample wants them with align_corners=False."""
    height, width = size
    return torch.stack([pixel_to_grid(points[..., 0], width), pixel_to_grid(points[..., 1], height)], -1)


def on(blobs: Tensor, points: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Return whether points (B, H, W, 2) of a canvas (height, width) lie in its spot: (B, H, W)."""
    return F.grid_sample(blobs, to_grid(points, canvas), padding_mode="zeros", align_corners=False)[:, 0] > 0.5
