"""The library's functions on numpy arrays. Each says what computes the same without the library.

They run on the calling thread alone and let other Python threads run meanwhile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xfeat_cli.native.library import Library

Floats = npt.NDArray[np.float32]

CHANNELS = 64
"""Of features, of what the keypoint head's last layer sees, and of descriptors."""

_POSITIONS = 65

_PANEL = 64
"""Outputs of a layer whose weights lie together in memory."""


def match(
    library: Library, descriptors0: Floats, descriptors1: Floats, min_cossim: float, ratio: float
) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return mutual nearest neighbours of unit vectors (N0, D) and (N1, D): each row's column or −1, its cosine; (N0,)
    both.

    As `matching.nearest.mutual_nearest` on float32.
    """
    one, two = _floats(descriptors0, (-1, -1)), _floats(descriptors1, (-1, descriptors0.shape[1]))
    columns, cosines = np.full(len(one), -1, np.int32), np.zeros(len(one), np.float32)
    if len(one) and len(two):
        library.call(
            "xfeat_match", _at(one), len(one), _at(two), len(two), one.shape[1], min_cossim, ratio,
            _at(columns), _at(cosines)
        )  # fmt: skip
    return columns, cosines


def keypoint_heatmap(
    library: Library, image: Floats, layers: list[tuple[Floats, Floats]], *, bf16: bool = False
) -> Floats:
    """Return a prepared image (H, W), sides multiples of 4 from 8 on → mean heatmap (H, W) of the four grids.

    layers: weights and biases of the four layers of `model.heatmap.head_of_blocks`: (64, 64) three times, of which the
    first takes a cell's pixels by blocks, then (65, 64). bf16: products of the first three in bfloat16, summed in
    float32; only where the library `multiplies_bf16`. As `model.heatmap.of_blocks` behind the head's other layers.
    """
    image = _floats(image, (-1, -1))
    height, width = image.shape
    if height < 8 or width < 8 or height % 4 or width % 4:
        raise ValueError(f"sides of {image.shape} must be multiples of 4, and at least 8")
    if bf16 and not library.multiplies_bf16:
        raise ValueError(f"the native library for {library.level} has no bfloat16")
    *hidden, (last_weight, last_bias) = layers
    weights = _floats(np.stack([weight for weight, _ in hidden]), (3, CHANNELS, CHANNELS))
    biases = _floats(np.stack([bias for _, bias in hidden]), (3, CHANNELS))
    last_weight, last_bias = _floats(last_weight, (_POSITIONS, CHANNELS)), _floats(last_bias, (_POSITIONS,))
    heat = np.empty((height, width), np.float32)
    library.call(
        "xfeat_keypoint_heatmap", _at(image), height, width, _at(weights), _at(biases), _at(last_weight),
        _at(last_bias), int(bf16), _at(heat)
    )  # fmt: skip
    return heat


def peaks(
    library: Library,
    heat: Floats,
    reliability: Floats,
    top_k: int,
    threshold: float,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:
    """Return the keypoints of a heatmap (H, W), whose rows may lie apart: points (K, 2) and scores (K,), best first.

    reliability (h, w) by cell of 8×8. allowed (H, W). As `model.peaks.find_peaks`, without what is no keypoint.
    """
    if heat.dtype != np.float32 or heat.ndim != 2 or heat.strides[1] != 4 or heat.strides[0] % 4:
        heat = _floats(heat, (-1, -1))
    height, width = heat.shape
    reliability = _floats(reliability, (-1, -1))
    mask = None if allowed is None else np.ascontiguousarray(allowed, np.bool_)
    if mask is not None and mask.shape != heat.shape:
        raise ValueError(f"allowed has shape {mask.shape}, the heatmap {heat.shape}")
    # Two peaks are at least this far apart, but for equal neighbours, which are not kept.
    most = min(top_k, height * width)
    points, scores = np.empty((most, 2), np.float32), np.empty(most, np.float32)
    count = np.zeros(1, np.int32)
    library.call(
        "xfeat_peaks", _at(heat), height, width, heat.strides[0] // 4, _at(reliability), *reliability.shape, threshold,
        None if mask is None else _at(mask), most, _at(points), _at(scores), _at(count)
    )  # fmt: skip
    return points[: count[0]], scores[: count[0]]


def describe(library: Library, features: Floats, points: Floats) -> Floats:
    """Return unit descriptors (K, 64) at pixels (K, 2) from features (h, w, 64) by cell, bicubic.

    As `model.decode._sample_descriptors`.
    """
    features, points = _floats(features, (-1, -1, CHANNELS)), _floats(points, (-1, 2))
    descriptors = np.empty((len(points), CHANNELS), np.float32)
    height, width, _ = features.shape
    library.call("xfeat_describe", _at(features), height, width, _at(points), len(points), _at(descriptors))
    return descriptors


def panels(weight: Floats) -> Floats:
    """Return the weight (N, K) of a layer, N a multiple of 64, as `linear` wants it: (N / 64, K, 64)."""
    outputs, inputs = weight.shape
    return np.ascontiguousarray(weight.reshape(outputs // _PANEL, _PANEL, inputs).transpose(0, 2, 1), np.float32)


def linear(library: Library, values: Floats, weight: Floats, bias: Floats, *, rectify: bool) -> Floats:
    """Return values (M, K) · weightᵀ + bias (N,), negative results made 0 where `rectify`: (M, N). weight: of `panels`.

    As `torch.nn.functional.linear` and `relu`.
    """
    values, (count, inputs, _) = _floats(values, (-1, -1)), weight.shape
    weight, bias = _floats(weight, (count, values.shape[1], _PANEL)), _floats(bias, (count * _PANEL,))
    output = np.empty((len(values), len(bias)), np.float32)
    library.call(
        "xfeat_linear", _at(values), len(values), inputs, _at(weight), _at(bias), len(bias), int(rectify), _at(output)
    )  # fmt: skip
    return output


def reduce_gray(library: Library, pixels: npt.NDArray[np.uint8], height: int, width: int) -> Floats:
    """Map pixels (H, W[, C]) uint8 → (height, width) gray in [0, 1], the mean of the first three channels or the only
    one, each output pixel the mean of the area that it covers. As `images.to_gray`, for sizes of at most the image's.
    """
    pixels = np.ascontiguousarray(pixels, np.uint8).reshape(*pixels.shape[:2], -1)
    if not (0 < height <= pixels.shape[0] and 0 < width <= pixels.shape[1]):
        raise ValueError(f"{pixels.shape[:2]} cannot be reduced to {(height, width)}")
    gray = np.empty((height, width), np.float32)
    library.call("xfeat_reduce_gray", _at(pixels), *pixels.shape, pixels.strides[0], height, width, _at(gray))
    return gray


def _floats(array: npt.NDArray, shape: tuple[int, ...]) -> Floats:
    """Return the array as contiguous float32. shape: what it must have, −1 = any. Raises ValueError."""
    fits = array.ndim == len(shape) and all(n in (-1, side) for side, n in zip(array.shape, shape, strict=True))
    if not fits:
        raise ValueError(f"an array must have shape {shape}, not {array.shape}")
    return np.ascontiguousarray(array, np.float32)


def _at(array: npt.NDArray) -> int:
    return int(array.ctypes.data)
