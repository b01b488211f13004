"""Pairs of crops of real photographs that show the same points of a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from xfeat_cli.coordinates import rescale
from xfeat_cli.model.network import CELL
from xfeat_cli.synthesis.geometry import uniform
from xfeat_cli.synthesis.light import Light, change
from xfeat_cli.training.losses import Correspondences
from xfeat_cli.training.photos import resampled, scale_range
from xfeat_cli.training.tracks import Tracks

_WINDOWS = 8
"""Windows that are drawn for a pair; the first that show enough points are taken, else those that show most."""

_ENOUGH = 24
"""Points that are enough."""

_OWN_ZOOM, _OWN_PLACE = math.log(1.35), 0.12
"""How far either window is drawn by itself: logarithm of its scale, place of the common point in its sides."""


@dataclass(frozen=True)
class RealPairs:
    """A batch of pairs. image0, image1: (B, 1, H, W) in [0, 1]; clean0, clean1: the same before the change of light.

    chosen: their correspondences, with the scene that each pair shows; no two points of a pair lie within a cell's
    side of each other in either image.
    """

    image0: Tensor
    image1: Tensor
    clean0: Tensor
    clean1: Tensor
    chosen: Correspondences


def draw_real_pairs(
    generator: Generator, tracks: Tracks, count: int, view: tuple[int, int], points: int, light: Light
) -> RealPairs:
    """Return `count` random pairs of crops of (height, width), each with at most `points` correspondences, at least
    one.
    """
    numbers = [tracks.draw(generator) for _ in range(count)]
    drawn = [_draw(generator, tracks, number, view, points) for number in numbers]
    clean = torch.stack([crops[side] for side in (0, 1) for crops, _ in drawn])[:, None]
    images = change(generator, clean, light)
    places = torch.zeros(count, points, 4)
    valid = torch.zeros(count, points, dtype=torch.bool)
    for number, (_, shared) in enumerate(drawn):
        places[number, : len(shared)] = shared
        valid[number, : len(shared)] = True
    places, valid = places.to(clean.device), valid.to(clean.device)
    scenes = torch.from_numpy(tracks.scenes[numbers]).to(clean.device)
    chosen = Correspondences(places[..., :2], places[..., 2:], valid, scenes)
    return RealPairs(images[:count], images[count:], clean[:count], clean[count:], chosen)


def thinned(points: Tensor, order: Tensor, apart: float) -> Tensor:
    """Return which of the points (M, 4) of a pair stay: those with none of higher order (M,) within `apart` px in
    either.
    """
    near = (torch.cdist(points[:, :2], points[:, :2]) < apart) | (torch.cdist(points[:, 2:], points[:, 2:]) < apart)
    return ~(near & (order[None] > order[:, None])).any(1)


def _draw(
    generator: Generator, tracks: Tracks, number: int, view: tuple[int, int], most: int
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return crops (h, w) of both photographs of a pair, and the places (M, 4) of the points that both show."""
    one, two, points = tracks[number]
    photos = (tracks.photos[one], tracks.photos[two])
    windows = _windows(generator, photos, points.view(-1, 2, 2), view)
    order = uniform(generator, len(points)).cpu()
    mirrored = float(uniform(generator, 1)) < 0

    size = torch.tensor(view[::-1])
    corner, sides = windows[:, None].chunk(2, -1)
    places = rescale(points.view(-1, 2, 2) - corner, size / sides)
    inside = ((places >= -0.5) & (places <= size - 0.5)).all(-1).all(-1)
    chosen = int(inside.sum(1).clamp_max(_ENOUGH).argmax())
    shown, order = places[chosen][inside[chosen]].flatten(1), order[inside[chosen]]
    stay = thinned(shown, order, CELL)
    shown = shown[stay][order[stay].argsort(descending=True)[:most]]

    crops = []
    for photo, (left, top, columns, rows) in zip(photos, windows[chosen].long().tolist(), strict=True):
        crops.append(resampled(photo[top : top + rows, left : left + columns], view))
    if mirrored:
        crops = [crop.flip(-1) for crop in crops]
        shown[:, 0::2] = size[0] - 1 - shown[:, 0::2]
    return (crops[0], crops[1]), shown


def _windows(generator: Generator, photos: tuple[Tensor, Tensor], points: Tensor, view: tuple[int, int]) -> Tensor:
    """Return windows (K, 2, 4) of both photographs around one of their points (M, 2, 2) each: left, top,
    columns, rows.
    """
    anchors = points[torch.randint(len(points), (_WINDOWS,), generator=generator, device=generator.device).cpu()]
    zoom = uniform(generator, _WINDOWS, low=0.0, high=1.0).cpu()
    own_zoom = _OWN_ZOOM * uniform(generator, 2, _WINDOWS).cpu()
    place = 0.5 + 0.25 * uniform(generator, _WINDOWS, 2).cpu()
    own_place = _OWN_PLACE * uniform(generator, 2, _WINDOWS, 2).cpu()
    windows = []
    for number, photo in enumerate(photos):
        size = torch.tensor(photo.shape[::-1])
        least, largest = scale_range((photo.shape[0], photo.shape[1]), view)
        scale = least * (largest / least) ** (1 - zoom**2) * own_zoom[number].exp()
        sides = scale.clamp(least, largest)[:, None] * torch.tensor(view[::-1])
        sides = torch.minimum(sides.round().clamp_min(1), size)
        corner = (anchors[:, number] + 0.5 - (place + own_place[number]) * sides).round()
        windows.append(torch.cat([torch.minimum(corner.clamp_min(0), size - sides), sides], 1))
    return torch.stack(windows, 1)
