"""Photographs → features.h5."""

from __future__ import annotations

from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.progress import Summary
from xfeat_cli.jobs.stages.base import GrowingStage, Outcome, Workspace


class Extraction(GrowingStage):
    name, names, counted = "extract", ("features.h5",), "keypoints"

    def job(self, work: Workspace, overwrite: bool) -> Summary:
        return extract(
            work.images,
            work.features,
            work.config.extraction,
            image_list=work.listed,
            masks=work.masks,
            workers=work.workers,
            overwrite=overwrite,
            renew=True,
            listener=work.listener,
        )

    def finish(self, work: Workspace, done: Any) -> Outcome:
        if done.nothing_done:
            raise SfmError(f"no image of {work.images} can be read: {done.failures[0][1]}")
        if done.done + done.skipped < 2:
            raise SfmError(f"{work.images} holds one image that can be read; a reconstruction needs at least two")
        return super().finish(work, done)
