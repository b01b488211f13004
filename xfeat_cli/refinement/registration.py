"""Where windows of one image lie in another, to a few hundredths of a pixel: Lucas-Kanade, many windows at once.

Inverse compositional (Baker and Matthews, IJCV 2004) with a translation for each window; its affine map is given. Gain
and bias of the light are projected out. The template is never interpolated: it stands on whole pixels, and its weights
are centred on the point between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import rescale
from xfeat_cli.types import BoolArray, FloatArray, IndexArray

RADIUS = 8
"""Windows have 2 · RADIUS + 1 pixels a side."""

_WEIGHT_SIGMA = RADIUS / 1.5
_ITERATIONS = 5
_CONVERGED = 0.01
"""A window that moves less than this, px, is where it belongs."""

_LONGEST_STEP = 1.0
_CHUNK = 192
"""Windows handled together: their arrays fit into a core's own cache."""

_DAMPING = 1e-3
"""Added to the diagonal of the normal equations, relative to its sum."""

_FLAT = 1e-7
"""Least variance of gray values in [0, 1] in a window: with less there is nothing to register."""


@dataclass(frozen=True)
class Registered:
    """points: (N, 2) float64, pixels of the target. correlation: (N,) float32 in [−1, 1], weighted and centred.

    covariance: (N, 2, 2) float32, of points, px², for noise that is independent from pixel to pixel and as strong as
    what remains between the windows; the truth is a multiple. inside: (N,) bool, whether both windows lie within their
    images; where not, nothing was done.
    """

    points: FloatArray
    correlation: FloatArray
    covariance: FloatArray
    inside: BoolArray


def register(
    template: FloatArray, target: npt.NDArray[np.uint16], points: FloatArray, start: FloatArray, affines: FloatArray
) -> Registered:
    """Find windows around points of one image in another.

    template: (h, w) float32 gray, in [0, 1]. target: (2h, 2w) uint16, the other image with every pixel cut into four
    (`pyramid.Level.doubled`). points: (N, 2) pixels of the template.
    start: (N, 2) pixels of the target, about where they are. affines: (N, 2, 2), template → target.
    """
    count = len(points)
    found = np.array(start, np.float64)
    correlation = np.zeros(count, np.float32)
    covariance = np.zeros((count, 2, 2), np.float32)
    target_size = np.array(target.shape[::-1]) // 2
    inside = _window_inside(template, points) & _reach_inside(target_size, start, affines)
    todo = np.flatnonzero(inside)
    for first in range(0, len(todo), _CHUNK):
        part = todo[first : first + _CHUNK]
        found[part], correlation[part], covariance[part] = _register_chunk(
            template, target, points[part], start[part], affines[part].astype(np.float32)
        )
    inside &= _reach_inside(target_size, found, affines)
    return Registered(found, correlation, covariance, inside)


def _window_inside(image: FloatArray, points: FloatArray) -> BoolArray:
    """Return whether a window on whole pixels, and one more around it for gradients, lies within the image."""
    margin = RADIUS + 1
    whole = np.rint(points)
    inside: BoolArray = (whole >= margin) & (whole <= np.array(image.shape[::-1]) - 1 - margin)
    return np.logical_and.reduce(inside, 1)


def _reach_inside(size: IndexArray, points: FloatArray, affines: FloatArray) -> BoolArray:
    """Return whether mapped windows around points lie within an image of `size` (width, height)."""
    reach = (RADIUS + 0.5) * np.abs(affines).sum(2)
    inside: BoolArray = (points - reach >= 0) & (points + reach <= size - 1)
    return np.logical_and.reduce(inside, 1)


def _register_chunk(
    template: FloatArray, target: npt.NDArray[np.uint16], points: FloatArray, start: FloatArray, affines: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Behave as `register`, of windows that lie inside: points, correlation, covariance."""
    whole = np.rint(points).astype(np.intp)
    steps = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
    dx, dy = ((whole - points).astype(np.float32)[:, axis : axis + 1] + steps for axis in (0, 1))
    windows = _prepare(template, whole, dx, dy)
    reach_x, reach_y = _reach(2 * affines, dx, dy)

    found = start.astype(np.float64)
    correlation = np.zeros(len(points), np.float32)
    active = np.arange(len(points))
    now, maps = windows, affines
    for iteration in range(_ITERATIONS + 1):
        centre = rescale(found[active], 2).astype(np.float32)
        seen = _sample(target, centre[:, :1] + reach_x, centre[:, 1:] + reach_y)
        seen -= np.einsum("np,np->n", now.weights, seen)[:, None]
        spread = np.sqrt(np.maximum(np.einsum("np,np->n", now.weights, seen * seen), np.float32(1e-3)))
        products = (now.functionals @ seen[..., None])[..., 0]
        correlation[active] = products[:, 2] / (spread * now.deviation)
        if iteration == _ITERATIONS:
            break
        moved = (now.inverse_hessian @ products[:, :2, None])[..., 0] * (now.deviation / spread)[:, None]
        length = np.sqrt((moved**2).sum(1))
        moved *= np.minimum(1, _LONGEST_STEP / np.maximum(length, np.float32(1e-6)))[:, None]
        found[active] -= (maps @ moved[..., None])[..., 0]
        going = length > _CONVERGED
        if not going.any():
            break
        if not going.all():
            active, maps, reach_x, reach_y = active[going], maps[going], reach_x[going], reach_y[going]
            now = now.of(going)
    remaining = windows.deviation**2 * np.maximum(2 - 2 * correlation, np.float32(1e-6))
    covariance = affines @ windows.inverse_hessian @ affines.transpose(0, 2, 1) * remaining[:, None, None]
    return found, correlation, covariance


@dataclass(frozen=True)
class _Windows:
    """What a template window asks of the pixels it is compared with, P pixels each.

    weights: (N, P), of sum 1. functionals: (N, 3, P); their products with a window, times the ratio of deviations, give
    the right-hand side of the normal equations for x and y, and the covariance with the template. deviation: (N,) of
    the template. inverse_hessian: (N, 2, 2).
    """

    weights: FloatArray
    functionals: FloatArray
    deviation: FloatArray
    inverse_hessian: FloatArray

    def of(self, chosen: BoolArray) -> _Windows:
        return _Windows(
            self.weights[chosen], self.functionals[chosen], self.deviation[chosen], self.inverse_hessian[chosen]
        )


def _prepare(template: FloatArray, whole: IndexArray, dx: FloatArray, dy: FloatArray) -> _Windows:
    """whole: (N, 2) integer centres. dx, dy: (N, 2 · RADIUS + 1) distances of columns and rows from the points."""
    count, side = dx.shape
    margin = RADIUS + 1
    patches = np.lib.stride_tricks.sliding_window_view(template, (side + 2, side + 2))[
        whole[:, 1] - margin, whole[:, 0] - margin
    ]
    along_x, along_y = (np.exp(d**2 * np.float32(-0.5 / _WEIGHT_SIGMA**2)) for d in (dx, dy))
    along_x /= along_x.sum(1, keepdims=True)
    along_y /= along_y.sum(1, keepdims=True)
    weights = (along_y[:, :, None] * along_x[:, None, :]).reshape(count, -1)
    values = patches[:, 1:-1, 1:-1].reshape(count, -1)
    values = values - np.einsum("np,np->n", weights, values)[:, None]
    variance = np.maximum(np.einsum("np,np->n", weights, values * values), np.float32(_FLAT))
    functionals = np.empty((count, 3, side * side), np.float32)
    np.multiply(weights, values, out=functionals[:, 2])
    gradients = np.empty((count, 2, side * side), np.float32)
    for axis, (ahead, behind) in enumerate(
        ((patches[:, 1:-1, 2:], patches[:, 1:-1, :-2]), (patches[:, 2:, 1:-1], patches[:, :-2, 1:-1]))
    ):
        gradient = gradients[:, axis]
        gradient[:] = np.subtract(ahead, behind).reshape(count, -1)
        gradient *= np.float32(0.5)
        # What a change of brightness or contrast explains is no sign of motion.
        gradient -= np.einsum("np,np->n", weights, gradient)[:, None]
        gradient -= (np.einsum("np,np->n", functionals[:, 2], gradient) / variance)[:, None] * values
        np.multiply(weights, gradient, out=functionals[:, axis])
    hessian = functionals[:, :2] @ gradients.transpose(0, 2, 1)
    damping = np.float32(_DAMPING) * np.trace(hessian, axis1=1, axis2=2) + np.float32(_FLAT)
    hessian[:, (0, 1), (0, 1)] += damping[:, None]
    return _Windows(weights, functionals, np.sqrt(variance), np.linalg.inv(hessian))


def _reach(affines: FloatArray, dx: FloatArray, dy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x and y (N, P) of affines @ (dx, dy), for every pixel of the windows."""
    a = affines[..., None, None]
    column, row = dx[:, None, :], dy[:, :, None]
    x, y = a[:, 0, 0] * column + a[:, 0, 1] * row, a[:, 1, 0] * column + a[:, 1, 1] * row
    return x.reshape(len(affines), -1), y.reshape(len(affines), -1)


def _sample(image: npt.NDArray[np.uint16], x: FloatArray, y: FloatArray) -> FloatArray:
    """Return bilinear samples (N, P) float32 at pixels x, y within the image."""
    if _remap_is_exact():
        return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    return _bilinear(image, x, y)


@cache
def _remap_is_exact() -> bool:
    """OpenCV 4 rounds positions to 1/32 pixel, which is as much as registration is good for; OpenCV 5 does not."""
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    position = np.full((1, 1), 3.01, np.float32)
    return bool(abs(cv2.remap(ramp, position, position, cv2.INTER_LINEAR)[0, 0] - 3.01) < 1e-5)


def _bilinear(image: npt.NDArray[np.uint16], x: FloatArray, y: FloatArray) -> FloatArray:
    height, width = image.shape
    left, top = (np.clip(c.astype(np.intp), 0, side - 2) for c, side in ((x, width), (y, height)))
    right, below = (x - left).astype(np.float32), (y - top).astype(np.float32)
    corner = top * width + left

    def at(offset: int) -> FloatArray:
        return image.reshape(-1)[corner + offset].astype(np.float32)

    upper = at(0) + right * (at(1) - at(0))
    lower = at(width) + right * (at(width + 1) - at(width))
    return upper + below * (lower - upper)
