"""What one might run instead on a photograph: OpenCV's SIFT, and kornia's XFeat where kornia is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from xfeat_cli.model.weights import Weights


def alternatives(weights: Weights, gray: Tensor, top_k: int, threshold: float) -> dict[str, Callable[[], Any]]:
    """Name → sparse features of a gray image (H, W) in [0, 1] by another program, on its device (SIFT: on the CPU).

    OpenCV has no XFeat of its own. kornia's runs with the same weights.
    """
    size = f"{gray.shape[1]}x{gray.shape[0]}"
    runs = {f"opencv_sift_{size}": _sift(gray, top_k)}
    if find_spec("kornia") is not None:
        runs[f"kornia_xfeat_{size}"] = _kornia(weights, gray, top_k, threshold)
    return runs


def _sift(gray: Tensor, top_k: int) -> Callable[[], Any]:
    detector = cv2.SIFT.create(nfeatures=top_k)
    pixels = (gray.cpu().numpy() * 255).round().astype(np.uint8)
    return lambda: detector.detectAndCompute(pixels, None)


def _kornia(weights: Weights, gray: Tensor, top_k: int, threshold: float) -> Callable[[], Any]:
    from kornia.feature import XFeat

    xfeat = XFeat(top_k, threshold)
    # The refiner is no part of sparse features, and weights may lack it.
    xfeat.net.load_state_dict(weights.state, strict=False)
    xfeat.eval().to(gray.device)
    image = gray[None, None]

    def run() -> Any:
        with torch.inference_mode():
            return xfeat.detectAndCompute(image)

    return run
