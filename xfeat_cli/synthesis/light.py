"""Random change of light, lens and sensor on batches of gray images (B, 1, H, W) in [0, 1]; every image its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from xfeat_cli.synthesis.geometry import random_blobs, uniform


@dataclass(frozen=True)
class Light:
    """How strongly images change. tone: exponent range of gamma is e^±tone. inverted: how often a tone curve folds.

    contrast, shading, shadow: largest relative changes. blur_px: largest standard deviation. noise: largest standard
    deviation of full scale. jpeg: how often, down to which quality.
    """

    tone: float = 0.7
    inverted: float = 0.05
    contrast: float = 0.6
    shading: float = 0.5
    shadow: float = 0.6
    shadows: float = 0.4
    blur_px: float = 1.6
    noise: float = 0.06
    jpeg: float = 0.4
    jpeg_quality: float = 25.0


EVALUATED = Light(inverted=0.0)
"""The change that `xfeat eval warps` measures with."""


def change(generator: Generator, images: Tensor, light: Light) -> Tensor:
    """Return images under other light: shading, shadows, tone, blur, noise, JPEG, in the order a camera has them."""
    count = len(images)
    share = uniform(generator, count, 1, 1, 1, low=0.0, high=1.0)
    images = images * _shading(generator, images, light, share)
    images = _tone(generator, images, light, share)
    images = _blur(generator, images, light.blur_px * share * _sometimes(generator, count, 0.6))
    images = images + _noise(generator, images) * light.noise * share**2
    images = images.clamp(0, 1)
    chosen = _sometimes(generator, count, light.jpeg).flatten() > 0
    if chosen.any():
        quality = uniform(generator, count, low=light.jpeg_quality, high=95.0)[chosen]
        images = images.clone()
        images[chosen] = compress(images[chosen], quality)
    return (images * 255).round() / 255


def _sometimes(generator: Generator, count: int, often: float) -> Tensor:
    return (uniform(generator, count, 1, 1, 1, low=0.0, high=1.0) < often).float()


def _shading(generator: Generator, images: Tensor, light: Light, share: Tensor) -> Tensor:
    """Return factors around 1: a smooth field, and a shadow or a lit place with a more or less sharp edge."""
    count, _, height, width = images.shape
    smooth = F.interpolate(uniform(generator, count, 1, 4, 4), (height, width), mode="bicubic", align_corners=True)
    factor = 1 + light.shading * share * smooth
    spots = random_blobs(generator, count, (height, width), light.shadows)
    coarse = F.interpolate(spots, (height, width), mode="bilinear")
    sharpness = uniform(generator, count, 1, 1, 1, low=1.0, high=6.0)
    inside = ((coarse - 0.5) * sharpness + 0.5).clamp(0, 1)
    depth = light.shadow * share * uniform(generator, count, 1, 1, 1, low=-0.6, high=1.0)
    return (factor * (1 - depth * inside)).clamp_min(0.02)


def _tone(generator: Generator, images: Tensor, light: Light, share: Tensor) -> Tensor:
    """Return gamma, contrast about a random level, exposure; for a few images a curve that turns bright into dark."""
    count = len(images)
    images = images.clamp(1e-4, 1) ** (light.tone * share * uniform(generator, count, 1, 1, 1)).exp()
    folded = uniform(generator, count, 1, 1, 1, low=0.0, high=1.0) < light.inverted
    images = torch.where(folded, 1 - images, images)
    level = uniform(generator, count, 1, 1, 1, low=0.2, high=0.8)
    gain = 1 + light.contrast * share * uniform(generator, count, 1, 1, 1)
    exposure = (light.contrast * share * uniform(generator, count, 1, 1, 1)).exp()
    return ((images - level) * gain + level) * exposure


def _noise(generator: Generator, images: Tensor) -> Tensor:
    """Return unit noise, stronger where it is bright, as photons have it; half of it coarser than a pixel."""
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    coarse = F.avg_pool2d(noise, 3, 1, 1) * 3
    grain = uniform(generator, len(images), 1, 1, 1, low=0.0, high=0.7)
    return (noise * (1 - grain) + coarse * grain) * (0.5 + images.clamp(0, 1)).sqrt()


def _blur(generator: Generator, images: Tensor, sigma: Tensor) -> Tensor:
    """Return Gaussian blur with sigma (B, 1, 1, 1) px along x, and up to twice less or more along y, as motion
    has it.
    """
    count = len(images)
    reach = 5
    offset = torch.arange(-reach, reach + 1, device=images.device).float()
    along_y = sigma * (math.log(2) * uniform(generator, count, 1, 1, 1)).exp()
    stacked = images.transpose(0, 1)
    for deviation, shape in ((sigma, (count, 1, 1, -1)), (along_y, (count, 1, -1, 1))):
        taps = torch.exp(-0.5 * (offset / deviation.flatten()[:, None].clamp_min(0.05)) ** 2)
        kernel = (taps / taps.sum(1, keepdim=True)).view(shape)
        pad = (reach, reach, 0, 0) if shape[-1] == -1 else (0, 0, reach, reach)
        stacked = F.conv2d(F.pad(stacked, pad, mode="replicate"), kernel, groups=count)
    return stacked.transpose(0, 1)


_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of 8×8 DCT coefficients at quality 50: ITU-T T.81, table K.1."""


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """Return what JPEG of a quality (B,) in [1, 100] leaves of gray images whose sides are multiples of 8."""
    count, _, height, width = images.shape
    index = torch.arange(8, device=images.device)
    cosine = torch.cos((2 * index[None] + 1) * index[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    steps = (torch.tensor(_LUMINANCE, device=images.device) * factor[:, None, None]).round().clamp(1, 255)
    steps = steps[:, None, None]
    blocks = images.view(count, height // 8, 8, width // 8, 8).transpose(2, 3) * 255 - 128
    coefficients = (cosine @ blocks @ cosine.T / steps).round() * steps
    restored = (cosine.T @ coefficients @ cosine + 128) / 255
    return restored.transpose(2, 3).reshape(images.shape).clamp(0, 1)
