"""Cameras and points of a reconstruction from three sides, without perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xfeat_cli.view.drawing import CAPTION_HEIGHT, DARK, GREY, PAPER, VERMILION, Colour, captioned, line, write
from xfeat_cli.view.photograph import Picture

Float64Array = npt.NDArray[np.float64]

_SIDES = (("from above", 0, 2, -1), ("from the front", 0, 1, 1), ("from the side", 2, 1, 1))
"""Name, axis across, axis up and down, and the sign of the latter, in the levelled frame (x right, y down, z ahead)."""

_OWN_DOWN = 0.02
"""Weight of a camera's own down beside its horizontal axis."""


@dataclass(frozen=True)
class Scene:
    """points: (P, 3), colours: (P, 3) uint8 RGB. centres: (N, 3), rotations: (N, 3, 3) world to camera."""

    points: Float64Array
    colours: npt.NDArray[np.uint8]
    centres: Float64Array
    rotations: Float64Array


def levelled(scene: Scene) -> tuple[Scene, Float64Array]:
    """Return the scene turned so that y is down, as the cameras see it, and z their mean direction; and that rotation
    (3, 3).

    Down is what the cameras' horizontal axes are square to, or where they look in a survey from above.
    """
    if not len(scene.rotations):
        return scene, np.eye(3)
    ahead = scene.rotations[:, 2].mean(0)
    down = ahead / np.linalg.norm(ahead) if _looks_down(scene, ahead) else _upright(scene.rotations)
    ahead = ahead - ahead @ down * down
    if np.linalg.norm(ahead) < 1e-3:
        ahead = np.cross(np.eye(3)[np.argmin(np.abs(down))], down)
    ahead = ahead / np.linalg.norm(ahead)
    turn = np.stack([np.cross(down, ahead), down, ahead])
    return turned(scene, turn), turn


def turned(scene: Scene, turn: Float64Array) -> Scene:
    """Return the scene in a frame that is turned by a rotation (3, 3)."""
    return Scene(scene.points @ turn.T, scene.colours, scene.centres @ turn.T, scene.rotations @ turn.T)


def _upright(rotations: Float64Array) -> Float64Array:
    """Return down (3,), for cameras held level however they tilt; where they all look the same way, their own down."""
    across, own = rotations[:, 0], rotations[:, 1]
    down = np.linalg.eigh(across.T @ across - _OWN_DOWN * own.T @ own)[1][:, 0]
    return np.asarray(down if down @ own.sum(0) >= 0 else -down)


def _looks_down(scene: Scene, ahead: Float64Array) -> bool:
    """Return whether all cameras look the same way and spread in both directions across it, as those of a survey flight
    do.
    """
    if len(scene.centres) < 4 or np.linalg.norm(ahead) < 0.9:
        return False
    axis = ahead / np.linalg.norm(ahead)
    centred = scene.centres - scene.centres.mean(0)
    across = np.linalg.svd(centred - np.outer(centred @ axis, axis), compute_uv=False)
    return bool(across[1] > 0.25 * across[0] and np.std(centred @ axis) < 0.5 * np.std(centred, axis=0).max())


def bounds(scene: Scene) -> tuple[Float64Array, float]:
    """Return middle (3,) and half the extent of cameras and of nearly all points: what lies far out does not count."""
    parts = [scene.centres]
    if len(scene.points):
        middle = np.median(scene.points, axis=0)
        away = np.abs(scene.points - middle)
        parts.append(scene.points[(away <= 2.5 * np.quantile(away, 0.8, axis=0) + 1e-9).all(axis=1)])
    everything = np.concatenate(parts) if parts else np.zeros((1, 3))
    if not len(everything):
        everything = np.zeros((1, 3))
    low, high = everything.min(0), everything.max(0)
    return (low + high) / 2, max(float((high - low).max()) / 2, 1e-6)


def model_picture(
    scene: Scene, about: str, side: int = 760, *, dark: bool = False, turn: Float64Array | None = None
) -> Picture:
    """Return three views beside one another. turn: the rotation (3, 3) that levels the scene, where it is known."""
    level = levelled(scene)[0] if turn is None else turned(scene, turn)
    middle, reach = bounds(level)
    scale = side / 2 / (reach * 1.06)
    panels = [_panel(level, middle, scale, side, view, DARK if dark else PAPER) for view in _SIDES]
    gap = np.full((panels[0].shape[0], 6, 3), (60, 60, 64) if dark else (225, 225, 228), np.uint8)
    row = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    return captioned(row, about, dark=dark)


def _panel(
    scene: Scene, middle: Float64Array, scale: float, side: int, view: tuple[str, int, int, int], paper: Colour
) -> Picture:
    name, across, vertical, sign = view
    panel = np.full((side, side, 3), paper, np.uint8)

    def place(points: Float64Array) -> Float64Array:
        moved = (points - middle) * scale
        return np.stack([moved[:, across], sign * moved[:, vertical]], axis=1) + (side - 1) / 2

    depth = ({0, 1, 2} - {across, vertical}).pop()
    order = np.argsort(scene.points[:, depth] * (1 if depth == 0 else -1))
    x, y = np.rint(place(scene.points[order])).astype(int).T.reshape(2, -1)
    inside = (x >= 0) & (y >= 0) & (x < side - 1) & (y < side - 1)
    x, y, colours = x[inside], y[inside], scene.colours[order][inside]
    for step_x, step_y in ((0, 0), (1, 0), (0, 1), (1, 1)) if len(x) < 60_000 else ((0, 0),):
        panel[y + step_y, x + step_x] = colours
    _draw_cameras(panel, scene, place, side)
    strip = np.full((CAPTION_HEIGHT, side, 3), paper, np.uint8)
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
