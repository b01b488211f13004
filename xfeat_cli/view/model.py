"""Cameras and points of a reconstruction from three sides, without perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xfeat_cli.view.drawing import CAPTION_HEIGHT, GREY, PAPER, VERMILION, captioned, line, write
from xfeat_cli.view.photograph import Picture

Float64Array = npt.NDArray[np.float64]

_SIDES = (("from above", 0, 2, -1), ("from the front", 0, 1, 1), ("from the side", 2, 1, 1))
"""Name, axis across, axis up and down, and the sign of the latter, in the levelled frame (x right, y down, z ahead)."""


@dataclass(frozen=True)
class Scene:
    """points: (P, 3), colours: (P, 3) uint8 RGB. centres: (N, 3), rotations: (N, 3, 3) world to camera."""

    points: Float64Array
    colours: npt.NDArray[np.uint8]
    centres: Float64Array
    rotations: Float64Array


def levelled(scene: Scene) -> tuple[Scene, Float64Array]:
    """The scene turned so that y is down, as the cameras see it, and z their mean direction; and that rotation (3, 3).

    Down is the mean of the cameras' own, which is right for cameras that are held upright or that look straight down.
    """
    if not len(scene.rotations):
        return scene, np.eye(3)
    down = scene.rotations[:, 1].mean(0)
    ahead = scene.rotations[:, 2].mean(0)
    if np.linalg.norm(down) < 0.3:
        # Cameras that were turned about their axis: what is flattest is the ground.
        spread = np.linalg.svd(scene.centres - scene.centres.mean(0), full_matrices=True)[2]
        down = spread[2] * (1 if spread[2] @ ahead >= 0 else -1)
    down = down / max(float(np.linalg.norm(down)), 1e-12)
    ahead = ahead - ahead @ down * down
    if np.linalg.norm(ahead) < 1e-3:
        ahead = np.cross(np.eye(3)[np.argmin(np.abs(down))], down)
    ahead = ahead / np.linalg.norm(ahead)
    turn = np.stack([np.cross(down, ahead), down, ahead])
    turned = Scene(scene.points @ turn.T, scene.colours, scene.centres @ turn.T, scene.rotations @ turn.T)
    return turned, turn


def bounds(scene: Scene) -> tuple[Float64Array, float]:
    """Middle (3,) and half the extent of cameras and of nearly all points: what lies far out does not count."""
    parts = [scene.centres]
    if len(scene.points):
        middle = np.median(scene.points, axis=0)
        away = np.abs(scene.points - middle)
        parts.append(scene.points[(away <= 4 * np.quantile(away, 0.8, axis=0) + 1e-9).all(axis=1)])
    everything = np.concatenate(parts) if parts else np.zeros((1, 3))
    if not len(everything):
        everything = np.zeros((1, 3))
    low, high = everything.min(0), everything.max(0)
    return (low + high) / 2, max(float((high - low).max()) / 2, 1e-6)


def model_picture(scene: Scene, about: str, side: int = 760) -> Picture:
    """Three views beside one another."""
    level, _ = levelled(scene)
    middle, reach = bounds(level)
    scale = side / 2 / (reach * 1.06)
    panels = [_panel(level, middle, scale, side, view) for view in _SIDES]
    gap = np.full((panels[0].shape[0], 6, 3), (225, 225, 228), np.uint8)
    row = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    return captioned(row, about)


def _panel(
    scene: Scene, middle: Float64Array, scale: float, side: int, view: tuple[str, int, int, int]
) -> Picture:
    name, across, vertical, sign = view
    panel = np.full((side, side, 3), PAPER, np.uint8)

    def place(points: Float64Array) -> Float64Array:
        moved = (points - middle) * scale
        return np.stack([moved[:, across], sign * moved[:, vertical]], axis=1) + (side - 1) / 2

    depth = ({0, 1, 2} - {across, vertical}).pop()
    order = np.argsort(-scene.points[:, depth] * (1 if depth != 1 else 1))
    x, y = np.rint(place(scene.points[order])).astype(int).T.reshape(2, -1)
    inside = (x >= 0) & (y >= 0) & (x < side - 1) & (y < side - 1)
    x, y, colours = x[inside], y[inside], scene.colours[order][inside]
    for step_x, step_y in ((0, 0), (1, 0), (0, 1), (1, 1)) if len(x) < 60_000 else ((0, 0),):
        panel[y + step_y, x + step_x] = colours
    _draw_cameras(panel, scene, place, side)
    strip = np.full((CAPTION_HEIGHT, side, 3), PAPER, np.uint8)
    write(strip, name, 12, 8, colour=GREY)
    return np.concatenate([strip, panel])


def _draw_cameras(panel: Picture, scene: Scene, place: object, side: int) -> None:
    assert callable(place)
    if not len(scene.centres):
        return
    _, reach = bounds(scene)
    length = reach * 0.05 * min(1.0, (30 / len(scene.centres)) ** 0.25)
    corners = np.array([[-0.7, -0.5, 1], [0.7, -0.5, 1], [0.7, 0.5, 1], [-0.7, 0.5, 1]]) * length
    for centre, rotation in zip(scene.centres, scene.rotations, strict=True):
        tip, *far = place(np.concatenate([centre[None], corners @ rotation + centre]))
        for number, corner in enumerate(far):
            line(panel, tip, corner, VERMILION)
            line(panel, corner, far[(number + 1) % 4], VERMILION)
