"""What every picture needs: colours that do not rely on colour vision, captions, bars of colour, PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xfeat_cli.types import FloatArray
from xfeat_cli.view.photograph import Picture

Colour = tuple[int, int, int]

BLUE: Colour = (0, 114, 178)
SKY: Colour = (86, 180, 233)
ORANGE: Colour = (230, 159, 0)
VERMILION: Colour = (213, 94, 0)
INK: Colour = (24, 24, 27)
PAPER: Colour = (250, 250, 250)
DARK: Colour = (28, 27, 31)
GREY: Colour = (130, 130, 136)
"""RGB; the first four after Okabe and Ito, told apart by everyone."""

CAPTION_HEIGHT = 34
_SHIFT = 4
"""OpenCV takes sub-pixel places as integers of 1/16 px."""


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)


def text_width(text: str, size: int = 16) -> int:
    return int(_font(size).getlength(_one_line(text)))


def write(picture: Picture, text: str, x: int, y: int, size: int = 16, colour: Colour = INK) -> None:
    """Write one line, in place; its top left corner is (x, y)."""
    canvas = Image.fromarray(picture)
    ImageDraw.Draw(canvas).text((x, y), _one_line(text), fill=colour, font=_font(size))
    picture[:] = np.asarray(canvas)


def shortened(text: str, width: int, size: int = 16) -> str:
    """Return the text, or its end after an ellipsis, so that it is at most `width` px wide."""
    text = _one_line(text)
    if text_width(text, size) <= width:
        return text
    while text and text_width("…" + text, size) > width:
        text = text[1:]
    return "…" + text


def captioned(picture: Picture, left: str, right: str = "", *, dark: bool = False) -> Picture:
    """Return the picture with a strip below that says what it is."""
    strip = np.full((CAPTION_HEIGHT, picture.shape[1], 3), DARK if dark else PAPER, np.uint8)
    room = picture.shape[1] - 24
    if right and text_width(left) + text_width(right) + 24 <= room:
        write(strip, right, picture.shape[1] - 12 - text_width(right), 8, colour=GREY)
    elif right:
        left = f"{left} · {right}"
    write(strip, shortened(left, room), 12, 8, colour=PAPER if dark else INK)
    return np.concatenate([picture, strip])


def coloured(values: FloatArray, scheme: int = cv2.COLORMAP_VIRIDIS) -> Picture:
    """Map values in [0, 1], any shape → RGB, one axis more."""
    flat = (np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8).reshape(-1, 1)
    if not len(flat):
        return np.zeros((*np.shape(values), 3), np.uint8)
    bgr = cv2.applyColorMap(flat, scheme).reshape(-1, 3)
    return np.asarray(bgr[:, ::-1], np.uint8).reshape(*np.shape(values), 3)


def colour_bar(width: int, low: str, high: str, scheme: int = cv2.COLORMAP_VIRIDIS) -> Picture:
    """Return a strip (CAPTION_HEIGHT, width, 3) that says what the colours mean."""
    strip = np.full((CAPTION_HEIGHT, width, 3), PAPER, np.uint8)
    left = 24 + text_width(low)
    length = min(240, width - left - text_width(high) - 24)
    if length > 8:
        strip[11:23, left : left + length] = coloured(np.linspace(0, 1, length)[None].repeat(12, 0), scheme)
        write(strip, high, left + length + 12, 8, colour=GREY)
    write(strip, low, 12, 8, colour=GREY)
    return strip


def circle(picture: Picture, place: FloatArray, radius: float, colour: Sequence[int], thickness: int = 1) -> None:
    """Draw a circle at a sub-pixel place (2,), in place; filled when thickness is negative."""
    centre = tuple(round(float(value) * (1 << _SHIFT)) for value in place)
    cv2.circle(picture, centre, int(radius * (1 << _SHIFT)), tuple(map(int, colour)), thickness, cv2.LINE_AA, _SHIFT)


def line(picture: Picture, start: FloatArray, end: FloatArray, colour: Sequence[int], thickness: int = 1) -> None:
    """Draw a line between sub-pixel places, in place."""
    first, second = (tuple(round(float(v) * (1 << _SHIFT)) for v in place) for place in (start, end))
    cv2.line(picture, first, second, tuple(map(int, colour)), thickness, cv2.LINE_AA, _SHIFT)


def dashed(picture: Picture, start: FloatArray, end: FloatArray, colour: Sequence[int], dash: float = 7.0) -> None:
    """Draw a dashed line, in place."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    length = float(np.linalg.norm(end - start))
    steps = np.arange(0, length, 2 * dash)
    for step in steps:
        begin = start + (end - start) * (step / length)
        line(picture, begin, start + (end - start) * (min(step + dash, length) / length), colour)


def cross(picture: Picture, place: FloatArray, radius: float, colour: Sequence[int]) -> None:
    """Draw a small ×, in place."""
    place = np.asarray(place, np.float64)
    for slope in (1, -1):
        arm = np.array([radius, slope * radius])
        line(picture, place - arm, place + arm, colour)


def as_png(picture: Picture) -> bytes:
    """Return a PNG file's bytes."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def as_jpeg(picture: Picture, quality: int) -> bytes:
    """Return a JPEG file's bytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _one_line(text: str) -> str:
    """Return names of files may hold anything; control characters and half characters are shown as their codes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
