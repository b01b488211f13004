"""Frames of a video, through FFmpeg: the one owner of PyAV (extra `[video]`).

Only containers of one file are opened, never playlists and scripts, which name other files and addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import UsageError, VideoError

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,h264,hevc,gif"


@dataclass(frozen=True)
class VideoFrame:
    """A frame as it is to be shown. number: from 0 on, in the order of showing. seconds: since the first frame."""

    number: int
    seconds: float
    _frame: Any

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return (H, W, 3), red first, turned as the video asks."""
        return self._turned(self._frame.to_ndarray(format="rgb24"))

    def gray(self, longest: int) -> npt.NDArray[np.uint8]:
        """Return (h, w), reduced so that its longest side is at most `longest` px, turned as the video asks."""
        scale = min(1.0, longest / max(self._frame.width, self._frame.height))
        width, height = (max(1, round(side * scale)) for side in (self._frame.width, self._frame.height))
        return self._turned(self._frame.reformat(width, height, "gray", interpolation="AREA").to_ndarray())

    def _turned(self, pixels: npt.NDArray) -> npt.NDArray:
        return np.ascontiguousarray(np.rot90(pixels, round(self._frame.rotation / 90)))


def duration(path: Path) -> float:
    """Return about how many seconds a video lasts, 0 where it does not say. Raises VideoError, UsageError."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        return (container.duration or 0) / 1e6


def frames(path: Path) -> Iterator[VideoFrame]:
    """Yield all frames of the first stream of pictures, in the order of showing.

    A damaged video gives what can be decoded before the damage, if that is anything. Raises VideoError, UsageError.
    """
    import av

    number, first = 0, 0.0
    with _opened(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        try:
            for frame in container.decode(video=0):
                seconds = frame.time if frame.time is not None else number / 25
                first = seconds if number == 0 else first
                yield VideoFrame(number, seconds - first, frame)
                number += 1
        except av.FFmpegError as error:
            if number == 0:
                raise VideoError(f"{path}: no frame can be decoded ({error.strerror or error})") from None
    if number == 0:
        raise VideoError(f"{path}: the video holds no frame")


def _opened(path: Path) -> Any:
    if find_spec("av") is None:
        raise UsageError("videos are read with PyAV, which is not installed; pip install 'xfeat-cli[video]'")
    import av

    if not path.is_file():
        raise VideoError(f"{path}: no such file" if not path.exists() else f"{path}: not a regular file")
    try:
        container = av.open(
            str(path.absolute()), options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path}: not a video, or of a format that is not read here ({reason})") from None
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: the file holds no pictures, only sound or data")
    return container


def sharpness(gray: npt.NDArray[np.uint8]) -> float:
    """Return how much a gray image (H, W) changes from pixel to pixel: the variance of its Laplacian."""
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Map (H, W, 3), red first → a JPEG file of quality 95."""
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
