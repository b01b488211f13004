"""A video in place of a folder of photographs: where its frames go, and the options that suit it."""

from __future__ import annotations

from pathlib import Path

from xfeat_cli.pairing.config import PairConfig, PairKind
from xfeat_cli.sfm.config import CameraConfig, CameraSharing, SfmConfig


def default_config(images: Path) -> SfmConfig:
    """Return what a reconstruction does with a folder of photographs, or a video, when it is not told otherwise.

    The frames of a video are paired with those that follow and, where the camera comes back, with those that look
    alike; one camera took them all.
    """
    if images.is_dir():
        return SfmConfig()
    return SfmConfig(
        pairing=PairConfig((PairKind.SEQUENTIAL,), loop_closure=20), cameras=CameraConfig(sharing=CameraSharing.SINGLE)
    )


def photographs_of(images: Path, output: Path) -> Path:
    """Return the folder that a reconstruction into `output` reads: the one given, or that of the video's frames."""
    return images if images.is_dir() else output / "frames"
