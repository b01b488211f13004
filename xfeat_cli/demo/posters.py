"""Things people stick on walls: posters, signs and graffiti, as (h, w, 4) uint8 RGBA pictures."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from xfeat_cli.demo.noise import Key

Decal = npt.NDArray[np.uint8]
Rgb = tuple[int, int, int]

PIXELS_PER_METRE = 400

_WORDS = (
    "JAZZ",
    "OPEN AIR",
    "MARKET",
    "CINEMA",
    "TANGO",
    "MUSEUM",
    "CIRCUS",
    "EXPO 64",
    "NO PARKING",
    "RADIO",
    "ATLAS",
)
_INKS: tuple[Rgb, ...] = ((196, 46, 38), (30, 72, 122), (24, 24, 28), (226, 160, 32), (38, 104, 78), (120, 44, 96))
_PAPERS: tuple[Rgb, ...] = ((236, 226, 204), (222, 210, 178), (202, 216, 222), (240, 206, 120), (206, 88, 66))


def poster(key: Key, width: float, height: float) -> Decal:
    """Return a printed poster of `width` × `height` metres: a motif of simple shapes, a headline and lines of small
    print.
    """
    rng = np.random.default_rng(key)
    w, h = round(width * PIXELS_PER_METRE), round(height * PIXELS_PER_METRE)
    paper = _PAPERS[int(rng.integers(len(_PAPERS)))]
    inks = [ink for ink in _INKS if sum(abs(a - b) for a, b in zip(ink, paper, strict=True)) > 150]
    image = Image.new("RGB", (w, h), paper)
    draw = ImageDraw.Draw(image)
    top, bottom = 0.08 * h, rng.uniform(0.55, 0.66) * h
    for _ in range(int(rng.integers(5, 10))):
        _shape(draw, rng, (0.06 * w, top, 0.94 * w, bottom), _pick(rng, inks))
    y = bottom + 0.03 * h
    word = _WORDS[int(rng.integers(len(_WORDS)))]
    y += _line(draw, word, 0.07 * w, y, 0.86 * w, 0.16 * h, _pick(rng, inks)) + 0.02 * h
    ink = _pick(rng, inks)
    while y < 0.92 * h:
        letters = "".join(chr(int(rng.integers(97, 123))) for _ in range(int(rng.integers(14, 30))))
        y += _line(draw, letters, 0.08 * w, y, rng.uniform(0.55, 0.84) * w, 0.035 * h, ink) + 0.012 * h
    draw.rectangle((0, 0, w - 1, h - 1), outline=_pick(rng, inks), width=max(2, w // 60))
    return np.dstack([np.asarray(image), _torn(rng, h, w)])


def sign(text: str, height: float, ink: Rgb, ground: Rgb) -> Decal:
    """Return a sign board with one line of large letters, `height` metres high."""
    h = round(height * PIXELS_PER_METRE)
    font = ImageFont.load_default(0.62 * h)
    x0, y0, x1, y1 = font.getbbox(text)
    image = Image.new("RGB", (round(x1 - x0 + 0.7 * h), h), ground)
    draw = ImageDraw.Draw(image)
    draw.text((0.35 * h - x0, (h - y1 - y0) / 2), text, font=font, fill=ink)
    inset = 0.06 * h
    draw.rectangle((inset, inset, image.width - inset, h - inset), outline=ink, width=max(2, h // 32))
    return np.dstack([np.asarray(image), np.full((h, image.width), 255, np.uint8)])


def graffiti(key: Key, width: float, height: float) -> Decal:
    """Return sprayed loops and splashes on a transparent ground."""
    rng = np.random.default_rng(key)
    w, h = round(width * PIXELS_PER_METRE), round(height * PIXELS_PER_METRE)
    canvas = np.zeros((h, w, 4), np.uint8)
    for _ in range(4):
        ink = (*_pick(rng, list(_INKS + _PAPERS)), 255)
        t = np.linspace(0, 1, 160)
        turns, lean = rng.uniform(2, 5), rng.uniform(0, 2 * np.pi)
        x = w * (0.15 + 0.7 * t) + 0.12 * h * np.cos(2 * np.pi * turns * t + lean)
        y = h * rng.uniform(0.35, 0.65) + 0.3 * h * np.sin(2 * np.pi * (turns + 0.5) * t)
        path = np.round(np.column_stack([x, y])).astype(np.int32)
        cv2.polylines(canvas, [path], False, ink, int(rng.integers(8, 22)), cv2.LINE_AA)
        for _ in range(25):
            spot = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
            cv2.circle(canvas, spot, int(rng.integers(2, 7)), ink, -1, cv2.LINE_AA)
    return canvas


def _pick(rng: np.random.Generator, inks: list[Rgb]) -> Rgb:
    return inks[int(rng.integers(len(inks)))]


def _shape(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: tuple[float, float, float, float], ink: Rgb
) -> None:
    x0, y0, x1, y1 = box
    reach = min(x1 - x0, y1 - y0)
    size = reach * rng.uniform(0.12, 0.55)
    x, y = rng.uniform(x0, x1 - size), rng.uniform(y0, y1 - size)
    kind = int(rng.integers(4))
    if kind == 0:
        draw.ellipse((x, y, x + size, y + size), fill=ink)
    elif kind == 1:
        draw.rectangle((x, y, x + size, y + size * rng.uniform(0.3, 1)), fill=ink)
    elif kind == 2:
        draw.polygon([(x, y + size), (x + size * rng.uniform(0, 1), y), (x + size, y + size)], fill=ink)
    else:
        for i in range(5):
            edge = y + size * i / 5
            draw.rectangle((x, edge, x + size, edge + size / 10), fill=ink)


def _line(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, width: float, height: float, ink: Rgb) -> float:
    """Draw text no wider or higher than asked, its top at y; return the height taken."""
    probe = ImageFont.load_default(100).getbbox(text)
    size = 100 * min(width / (probe[2] - probe[0]), height / (probe[3] - probe[1]))
    font = ImageFont.load_default(size)
    x0, y0, _, y1 = font.getbbox(text)
    draw.text((x - x0, y - y0), text, font=font, fill=ink)
    return float(y1 - y0)


def _torn(rng: np.random.Generator, h: int, w: int) -> npt.NDArray[np.uint8]:
    """Return opacity of a sheet of paper with a corner or two torn off."""
    opacity = np.full((h, w), 255, np.uint8)
    for x, y in ((0, 0), (w, 0), (0, h), (w, h)):
        if rng.random() < 0.4:
            reach = 0.22 * w * rng.uniform(0.3, 1, 6)
            angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
            scrap = np.column_stack([x + reach * np.cos(angle), y + reach * np.sin(angle)])
            cv2.fillPoly(opacity, [np.round(scrap).astype(np.int32)], 0.0, cv2.LINE_AA)
    return opacity
