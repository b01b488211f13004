"""A folder of photographs, or a video → a reconstruction, stage by stage.

Every stage keeps its files in the output folder, and a later run does only what is missing or what changed options,
images or files make necessary. `stages.json` remembers what each stage was made with and of.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from xfeat_cli import video
from xfeat_cli.errors import StoreError, UsageError
from xfeat_cli.jobs.record import NAME, Record, check_folder
from xfeat_cli.jobs.stages import STAGES, Listeners, Workspace
from xfeat_cli.jobs.stages.base import names_of
from xfeat_cli.jobs.summary import SfmSummary, StageSummary
from xfeat_cli.jobs.video_input import default_config, photographs_of
from xfeat_cli.photo_names import may_be_video
from xfeat_cli.sfm.config import SfmConfig
from xfeat_cli.sfm.engine import version
from xfeat_cli.store.lock import OutputLock


def reconstruct(
    images: str | Path,
    output: str | Path,
    config: SfmConfig | None = None,
    *,
    image_list: Iterable[str] | None = None,
    masks: str | Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    listeners: Listeners | None = None,
) -> SfmSummary:
    """Choose frames (of a video), extract, pair, match, (when semi-dense) aggregate, refine, import, verify, map.

    Args:
        images: folder of photographs, walked recursively; or a video.
        output: folder for frames/ (of a video), features.h5, pairs.txt, matches.h5, keypoints.h5 and aggregated.h5
            (semi-dense), links.h5, refined.h5 and refined-matches.h5, database.db
            and sparse/0, 1, … (COLMAP models, the largest first). What an earlier run left there is reused where it is
            still right; what photographs, options or damaged files have made wrong is made again, and told.
        config: a config for each stage; None = the default one for a folder or a video.
        image_list: names within the folder, instead of all of it.
        masks: folder of `name.jpg.png`, black = ignore.
        workers: photographs that are read at once, as for `extract`.
        overwrite: make everything again, but for frames that the same video gave.
        listeners: asked for a listener at the start of each stage, by the stage's name.

    Returns:
        What each stage did, and the largest model. Images and pairs that fail are reported and left out.

    Raises:
        UsageError: the folder holds files that no run made; `images` is neither folder nor video.
        LockedError: another process is at work in the folder.
        SfmError: nothing can be reconstructed.
        XFeatError: what the stages raise.
    """
    version()
    images, output = Path(images), Path(output)
    _check_input(images)
    config = config or default_config(images)
    check_folder(output, names_of(STAGES))
    try:
        lock = OutputLock(output / NAME)
    except OSError as error:
        raise StoreError(f"{output} cannot be written ({error.strerror or error})") from None
    with lock:
        photographs = photographs_of(images, output)
        work = Workspace(photographs, output, config, Record(output), SfmSummary(str(output)), overwrite)
        work.video = None if photographs == images else images
        work.listed = None if image_list is None else tuple(image_list)
        work.masks, work.workers = None if masks is None else Path(masks), workers
        _start(work)
        for stage in STAGES:
            if not stage.applies(work):
                continue
            started = time.monotonic()
            work.listener = listeners(stage.name) if listeners is not None else None
            outcome = stage.run(work)
            seconds = time.monotonic() - started
            work.summary.stages.append(StageSummary(stage.name, seconds, outcome.reused, outcome.result))
            work.summary.problems += outcome.problems
        return work.summary


def _check_input(images: Path) -> None:
    """Raise UsageError or VideoError for what is neither a folder nor a video that can be read here."""
    if images.is_dir():
        return
    if not images.is_file() or not may_be_video(images.name):
        raise UsageError(f"{images} is not a folder of photographs, nor a video")
    video.duration(images)


def _start(work: Workspace) -> None:
    before, now = work.record.images, os.path.realpath(work.video or work.images)
    if before and before != now:
        work.tell(f"{work.folder} was made of {before}; from now on it is of {now}")
    work.record.start(now)
