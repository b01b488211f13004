"""Keypoints and network layers over a photograph."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.types import Features, FloatArray
from xfeat_cli.view.drawing import captioned, circle, colour_bar, coloured
from xfeat_cli.view.photograph import Photograph, Picture

_LEAST_RADIUS = 2.5


def keypoints_picture(photo: Photograph, features: Features, uncertainty_px: float | None = None) -> Picture:
    """Return keypoints as circles, coloured by the rank of their scores, over the dimmed photograph.

    A circle's radius is the uncertainty (stored-image pixels), drawn as at least 2.5 px of the picture.
    """
    picture = _dimmed(photo.pixels)
    places = photo.places(features.keypoints)
    radius = max(_LEAST_RADIUS, (uncertainty_px or 0) * float(photo.scale.mean()))
    order = np.argsort(features.scores, kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.linspace(0, 1, len(order))
    colours = coloured(ranks, cv2.COLORMAP_PLASMA)
    for row in order:
        circle(picture, places[row], radius, colours[row])
    about = f"{len(features):,} keypoints"
    if uncertainty_px is not None:
        about += f", circles: ±{uncertainty_px:.2f} px"
    picture = captioned(picture, photo.name, about)
    if not len(features):
        return picture
    low, high = float(features.scores.min()), float(features.scores.max())
    bar = colour_bar(picture.shape[1], f"lowest score {low:.3g}", f"highest {high:.3g}", cv2.COLORMAP_PLASMA)
    return np.concatenate([picture, bar])


def layer_picture(photo: Photograph, layer: FloatArray, what: str, widen: int = 1) -> Picture:
    """Return a layer (h, w) of values ≥ 0 that covers the whole photograph, laid over it in colour; strong = opaque.

    widen: each value spreads over a square of so many pixels, so that single peaks can be seen.
    """
    height, width = photo.pixels.shape[:2]
    low, high = float(layer.min()), float(np.quantile(layer, 0.999)) if layer.size else 1.0
    spread = cv2.dilate(np.asarray(layer, np.float32), np.ones((widen, widen), np.uint8))
    stretched = cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.clip((stretched - low) / max(high - low, 1e-12), 0, 1)
    alpha = np.clip(1.5 * share, 0, 0.9)[..., None]
    mixed = _dimmed(photo.pixels) * (1 - alpha) + coloured(share, cv2.COLORMAP_INFERNO) * alpha
    picture = captioned(mixed.astype(np.uint8), photo.name, what)
    bar = colour_bar(picture.shape[1], f"{low:.3g}", f"{high:.3g}", cv2.COLORMAP_INFERNO)
    return np.concatenate([picture, bar])


def _dimmed(pixels: Picture) -> npt.NDArray[np.uint8]:
    """Return gray and half as bright, so that colours on it stand out."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.repeat((gray * 0.55).astype(np.uint8)[..., None], 3, axis=2)
