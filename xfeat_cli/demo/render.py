"""One view of a scene: exact rays, a symmetric grid of samples in every pixel, no half-pixel bias."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.cameras import Camera, Float64Array, project
from xfeat_cli.demo.noise import FloatArray
from xfeat_cli.demo.scene import Scene
from xfeat_cli.demo.surfaces import Patch, Rays, Shape

_NEAR = 0.05  # metres
_SAMPLES_PER_TILE = 400_000
_HORIZON = np.array([214, 222, 228], np.float32)
_ZENITH = np.array([112, 158, 208], np.float32)
_NOTHING = -1

Window = tuple[slice, slice]


def render_view(
    scene: Scene, camera: Camera, *, gain: float = 1.0, samples: int = 3
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Return the photograph (H, W, 3) uint8 RGB and the z-depth (H, W) float32 in metres at the pixels' centres, 0 =
    sky.

    `gain` scales the exposure (display values). `samples` (odd) is the number of rays along each side of a pixel,
    spread evenly about its centre.
    """
    if samples % 2 == 0:
        raise ValueError(f"samples must be odd, so that one ray meets the pixel's centre, got {samples}")
    width, height = camera.size
    image = np.empty((height, width, 3), np.uint8)
    depth = np.empty((height, width), np.float32)
    columns = _sample_positions(0, width, samples)
    windows = [_window(shape, camera) for shape in scene.shapes]
    step = max(1, _SAMPLES_PER_TILE // (width * samples**2))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        rays = Rays.of(camera, columns, _sample_positions(top, bottom, samples))
        inside = [_crop(window, top, bottom, samples) for window in windows]
        colours, distances = _trace(scene, rays, inside, camera.K[0, 0] * samples)
        mean = cv2.resize(colours, (width, bottom - top), interpolation=cv2.INTER_AREA)
        image[top:bottom] = np.clip(np.rint(mean * np.float32(gain)), 0, 255)
        depth[top:bottom] = distances[samples // 2 :: samples, samples // 2 :: samples]
    depth[~np.isfinite(depth)] = 0
    return image, depth


def _sample_positions(first: int, last: int, samples: int) -> Float64Array:
    """Return coordinates of `samples` samples in each of the pixels first … last − 1, symmetric about their centres."""
    return first + (np.arange((last - first) * samples) + 0.5) / samples - 0.5


def _trace(scene: Scene, rays: Rays, windows: list[Window | None], focal: float) -> tuple[FloatArray, FloatArray]:
    """Return colours (h, w, 3) and z-depths (h, w), +inf for the sky; `focal` is in samples."""
    shape = (len(rays.y), len(rays.x))
    depth = np.full(shape, np.inf, np.float32)
    owner = np.full(shape, _NOTHING, np.int32)
    u, v = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for number, window in enumerate(windows):
        if window is None:
            continue
        hit_depth, hit_u, hit_v = scene.shapes[number].cast(rays.crop(*window))
        nearer = hit_depth < depth[window]
        if nearer.any():
            np.copyto(depth[window], hit_depth, where=nearer)
            np.copyto(u[window], hit_u, where=nearer)
            np.copyto(v[window], hit_v, where=nearer)
            np.copyto(owner[window], np.int32(number), where=nearer)
    colours = _sky(rays)
    flat = colours.reshape(-1, 3)
    depths, us, vs, owners = depth.ravel(), u.ravel(), v.ravel(), owner.ravel()
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(scene.shapes) + 1))
    for number in np.flatnonzero(np.diff(bounds)).tolist():
        seen = order[bounds[number] : bounds[number + 1]]
        footprint = _footprint(scene.shapes[number], rays.origin, depths[seen], focal)
        flat[seen] = scene.sheets[number].sample(us[seen], vs[seen], footprint)
    return colours, depth


def _footprint(shape: Shape, origin: Float64Array, depth: FloatArray, focal: float) -> FloatArray:
    """Return how many metres of the surface one sample covers: the mean of its long and its short side on slanted
    patches.
    """
    across = depth / np.float32(focal)
    if not isinstance(shape, Patch):
        return across
    return across * np.sqrt(np.maximum(depth / np.float32(shape.distance(origin)), 1))


def _sky(rays: Rays) -> FloatArray:
    up = rays.along([0, 0, 1])
    length = np.sqrt(sum(rays.along(axis) ** 2 for axis in np.eye(3)))
    share = np.clip(up / length * 1.6, 0, 1)[..., None]
    return _HORIZON + share * (_ZENITH - _HORIZON)


def _window(shape: Shape, camera: Camera) -> tuple[float, float, float, float] | None:
    """Return pixels (x0, y0, x1, y1) that can see the shape, or None when it faces away or lies outside the picture."""
    if shape.distance(camera.center) <= 0:
        return None
    width, height = camera.size
    corners = shape.corners()
    distances = corners @ camera.R[2] + camera.t[2]
    if distances.max() < _NEAR:
        return None
    if distances.min() < _NEAR:
        return 0, 0, width, height
    pixels = project(corners, camera)
    x0, y0 = np.maximum(pixels.min(0) - 1, 0)
    x1, y1 = np.minimum(pixels.max(0) + 2, camera.size)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _crop(window: tuple[float, float, float, float] | None, top: int, bottom: int, samples: int) -> Window | None:
    """Return the part of a window in the rows top … bottom − 1, in samples of that tile."""
    if window is None or window[3] <= top or window[1] >= bottom:
        return None
    x0, y0, x1, y1 = window
    first, last = max(int(y0), top) - top, min(int(np.ceil(y1)), bottom) - top
    return slice(first * samples, last * samples), slice(int(x0) * samples, int(np.ceil(x1)) * samples)
