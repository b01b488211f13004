"""A video → a folder of photographs: sharp key frames with their times."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xfeat_cli import video as videos
from xfeat_cli.config import ExtractConfig, FramesConfig
from xfeat_cli.errors import UsageError, VideoError
from xfeat_cli.files import FileKind, whole_file, write_text
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order
from xfeat_cli.matching.keyframes import KeyframeChooser, Look
from xfeat_cli.matching.nearest import normalised
from xfeat_cli.video import VideoFrame
from xfeat_cli.xfeat import XFeat

TABLE = "frames.csv"
"""Beside the frames: name, frame, seconds, sharpness of each, under a line that says what they were made of."""

_LONGEST = 480
_FEATURES = 512
_LOOKS_PER_SECOND = 10
_COLUMNS = ("name", "frame", "seconds", "sharpness")

Progress = Callable[[float, float], None]
"""Called with how many seconds of the video were looked at, and of how many in all, 0 = unknown."""


@dataclass(frozen=True)
class Frame:
    """A frame that was written. frame: its number in the video, from 0 on. seconds: since the first one."""

    name: str
    frame: int
    seconds: float
    sharpness: float


@dataclass(frozen=True)
class FramesSummary:
    """folder: of the frames. frames: those chosen. reused: whether they were there already."""

    folder: str
    frames: list[Frame]
    reused: bool = False


def extract_frames(
    video: str | Path,
    folder: str | Path,
    config: FramesConfig | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> FramesSummary:
    """Choose sharp frames of a video that show something new, and write them as JPEG files into a folder.

    Args:
        video: the file.
        folder: made if it does not exist. The same video with the same options is not done again.
        config: how frames are chosen.
        device: what computes the features that tell how the scene moves.
        overwrite: replace the frames of another run.
        progress: called while the video is looked at.
        **options: fields of `FramesConfig`, in place of those of `config`.

    Returns:
        The frames, in order; their names sort likewise.

    Raises:
        UsageError: PyAV is missing, or the folder holds something else.
        VideoError: no frame can be decoded.
    """
    video, folder = Path(video), Path(folder)
    config = replace(config or FramesConfig(), **options)
    made_of = _made_of(video, config)
    chosen = _chosen_before(folder, made_of, overwrite)
    if chosen is None:
        found = [*_choose(video, config, device, progress or (lambda done, total: None))]
        chosen = _named(video, _thinned(found, config.max_frames))
        folder.mkdir(parents=True, exist_ok=True)
        _write_table(folder / TABLE, made_of, chosen)
    missing = [frame for frame in chosen if not (folder / frame.name).is_file()]
    _write(video, folder, missing)
    return FramesSummary(str(folder), chosen, reused=not missing)


def _made_of(video: Path, config: FramesConfig) -> str:
    try:
        stat = video.stat()
    except OSError as error:
        raise VideoError(f"{video}: cannot be read ({error.strerror or error})") from None
    said = {"video": video.name, "bytes": stat.st_size, "changed": stat.st_mtime_ns, **asdict(config)}
    return json.dumps(said)


def _chosen_before(folder: Path, made_of: str, overwrite: bool) -> list[Frame] | None:
    """Return the frames that the same run chose; otherwise room is made for others, if that is asked for."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the frames")
    table = _read_table(folder / TABLE)
    if table is None:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds other files than frames of a video; name another folder")
        return None
    made_before, frames = table
    if made_before == made_of:
        return frames
    if not overwrite:
        raise UsageError(
            f"{folder} holds frames of another video or of other options; use overwrite=True to replace them, or name "
            "another folder"
        )
    for frame in frames:
        (folder / frame.name).unlink(missing_ok=True)
    (folder / TABLE).unlink()
    return None


def _write_table(path: Path, made_of: str, frames: list[Frame]) -> None:
    text = io.StringIO(newline="")
    text.write(f"# {made_of}\n")
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(
        {**asdict(frame), "seconds": f"{frame.seconds:.6f}", "sharpness": f"{frame.sharpness:.6g}"} for frame in frames
    )
    write_text(path, text.getvalue())


def _read_table(path: Path) -> tuple[str, list[Frame]] | None:
    """Return what a table of frames says that they were made of, and the frames; None where there is none."""
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        rows = csv.DictReader(lines)
        frames = [
            Frame(os.path.basename(row["name"]), int(row["frame"]), float(row["seconds"]), float(row["sharpness"]))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return head.removeprefix("# "), frames


@dataclass(frozen=True)
class _Choice:
    number: int
    seconds: float
    sharpness: float


def _choose(video: Path, config: FramesConfig, device: str, progress: Progress) -> Iterator[_Choice]:
    if config.fps is not None:
        yield from _at_a_rate(video, config.fps, progress)
        return
    xfeat = XFeat(ExtractConfig(device=device, top_k=_FEATURES, grids=1, resize=_LONGEST))
    workers = usable_cores() if xfeat.runtime.device.type == "cpu" else 1
    chooser = KeyframeChooser(xfeat.runtime.info.min_cossim)
    total = videos.duration(video)
    for frame, future in in_order(lambda frame: _look(frame, xfeat), _some(videos.frames(video)), workers):
        progress(frame.seconds, total)
        for look in chooser.add(future.result()):
            yield _Choice(look.number, look.seconds, look.sharpness)
    for look in chooser.end():
        yield _Choice(look.number, look.seconds, look.sharpness)


def _at_a_rate(video: Path, fps: float, progress: Progress) -> Iterator[_Choice]:
    """Yield the sharpest frame of every 1 / fps seconds."""
    total = videos.duration(video)
    best: _Choice | None = None
    interval = 0
    for frame in videos.frames(video):
        progress(frame.seconds, total)
        if best is not None and int(frame.seconds * fps + 1e-6) > interval:
            yield best
            best = None
        interval = int(frame.seconds * fps + 1e-6)
        sharpness = videos.sharpness(frame.gray(_LONGEST))
        if best is None or sharpness > best.sharpness:
            best = _Choice(frame.number, frame.seconds, sharpness)
    if best is not None:
        yield best


def _some(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield about _LOOKS_PER_SECOND of the frames."""
    due = 0.0
    for frame in frames:
        if frame.seconds >= due - 1e-6:
            due = max(due + 1 / _LOOKS_PER_SECOND, frame.seconds)
            yield frame


def _look(frame: VideoFrame, xfeat: XFeat) -> Look:
    gray = frame.gray(_LONGEST)
    features = xfeat.detect(gray)
    descriptors = normalised(torch.from_numpy(features.descriptors))
    points = features.keypoints / np.float32(max(gray.shape))
    return Look(frame.number, frame.seconds, videos.sharpness(gray), points, descriptors)


def _thinned(chosen: list[_Choice], most: int | None) -> list[_Choice]:
    """Return at most so many, evenly from the first to the last."""
    if most is None or len(chosen) <= most:
        return chosen
    return [chosen[place] for place in np.linspace(0, len(chosen) - 1, most).round().astype(int)]


def _named(video: Path, chosen: list[_Choice]) -> list[Frame]:
    digits = max(6, len(str(chosen[-1].number)))
    return [
        Frame(f"{video.stem}_{choice.number:0{digits}d}.jpg", choice.number, choice.seconds, choice.sharpness)
        for choice in chosen
    ]


def _write(video: Path, folder: Path, frames: list[Frame]) -> None:
    missing = {frame.frame: frame for frame in frames}
    for decoded in videos.frames(video) if missing else ():
        frame = missing.pop(decoded.number, None)
        if frame is not None:
            with whole_file(folder / frame.name, FileKind.OTHER) as file:
                file.write(videos.jpeg(decoded.pixels()))
        if not missing:
            return
