"""`xfeat frames`: a video → photographs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from xfeat_cli.cli.options import DeviceOption, OverwriteOption, QuietOption
from xfeat_cli.cli.terminal.console import JobConsole, interruptible
from xfeat_cli.config import ExtractConfig, FramesConfig

_DEFAULT, _EXTRACT = FramesConfig(), ExtractConfig()


def frames(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; made if it does not exist.")],
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="N", show_default="by motion", help="The sharpest of every 1/N seconds."),
    ] = _DEFAULT.fps,
    max_frames: Annotated[
        int | None,
        typer.Option(
            "--max-frames", min=2, show_default="all", help="At most so many, taken evenly from those chosen."
        ),
    ] = _DEFAULT.max_frames,
    device: DeviceOption = _EXTRACT.device,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose frames of a video that are sharp and show something new.

    DIR gets JPEG files whose names sort by time, and frames.csv with the time of each in seconds. Needs the extra
    [video].

    Examples:

      xfeat frames clip.mp4 frames/

      xfeat frames clip.mp4 frames/ --fps 2 --max-frames 500
    """
    console = JobConsole("frame", "keypoints", as_json=False, quiet=quiet, verbose=False)
    with interruptible(console, folder):
        from tqdm import tqdm

        from xfeat_cli.jobs.frames import extract_frames

        with tqdm(unit="s", desc="look", disable=quiet or not sys.stderr.isatty(), file=sys.stderr) as bar:

            def report(done: float, total: float) -> None:
                bar.total = round(total, 1) or None
                bar.update(round(done - bar.n, 1))

            summary = extract_frames(
                video,
                folder,
                FramesConfig(fps=fps, max_frames=max_frames),
                device=device,
                overwrite=overwrite,
                progress=report,
            )
    if not quiet:
        there = " already there" if summary.reused else ""
        last = summary.frames[-1].seconds
        typer.echo(f"{len(summary.frames)} frames of the first {last:.1f} s{there} in {folder}", err=True)
        typer.echo(f"Next:\n  xfeat sfm {shlex.quote(str(folder))} out --pairs sequential --loop-closure 20", err=True)
