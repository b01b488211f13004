"""What charts are drawn with: those of benchmarks and of training runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from xfeat_cli.errors import UsageError
from xfeat_cli.files import FileKind, whole_file

INK, PALE, BLUE = (40, 40, 40), (200, 200, 200), (176, 114, 31)
"""Blue, green, red."""


def blank(width: int, height: int) -> np.ndarray:
    """Return a white image (height, width, 3)."""
    return np.full((height, width, 3), 255, np.uint8)


def write(image: np.ndarray, text: str, x: int, y: int, size: float = 0.55) -> None:
    """Write text whose base line begins at (x, y)."""
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)


def text_width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0])


def as_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def check_png(path: Path) -> None:
    """Raise UsageError if a chart cannot have that name."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: the chart is a PNG; give a name that ends in .png")


def save_png(image: np.ndarray, path: Path) -> None:
    """Write a PNG file. Raises UsageError if it is not writable."""
    check_png(path)
    try:
        with whole_file(path, FileKind.PNG) as file:
            file.write(as_png(image))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
