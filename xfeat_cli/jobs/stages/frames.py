"""A video → the folder of its frames."""

from __future__ import annotations

import math

from xfeat_cli.jobs.frames import TABLE, Progress, extract_frames
from xfeat_cli.jobs.progress import Report, Status
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace


class Frames(Stage):
    """The names are none, since `extract_frames` itself leaves alone what is there and no run's."""

    name, names = "frames", ()

    def applies(self, work: Workspace) -> bool:
        return work.video is not None

    def run(self, work: Workspace) -> Outcome:
        assert work.video is not None
        stat = work.video.stat()
        key = key_of(bytes=stat.st_size, changed=stat.st_mtime_ns)
        before = work.record.entry(self.name)
        is_ours = before is not None or not work.images.exists()
        if before is not None and before.key != key:
            work.tell(
                f"{work.images} holds frames of another video, or of this one before it changed; they are chosen again"
            )
        if is_ours:
            work.record.begin(self.name, key)
        chosen = extract_frames(
            work.video,
            work.images,
            device=work.config.extraction.device.split(",")[0],
            overwrite=work.overwrite or is_ours,
            progress=_progress(work),
        )
        result = {"frames": len(chosen.frames)}
        if is_ours:
            work.record.finish(self.name, key, result, [], [work.images / TABLE])
        return Outcome(result, reused=chosen.reused)


def _progress(work: Workspace) -> Progress | None:
    """Return what tells the listener of the seconds that were looked at."""
    listener = work.listener
    if listener is None:
        return None
    started = False

    def report(done: float, total: float) -> None:
        nonlocal started
        if not started:
            listener.start(math.ceil(total))
            started = True
        listener.update(Report(str(work.video), Status.OK, int(done)))

    return report
