"""Photographs → features.h5."""

from __future__ import annotations

from xfeat_cli.errors import SfmError
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace, outcome_of, resumed


class Extraction(Stage):
    name = "extract"

    def run(self, work: Workspace) -> Outcome:
        done = resumed(
            lambda overwrite: extract(
                work.images, work.features, work.config.extraction, overwrite=overwrite, listener=work.listener
            ),
            work,
        )
        if done.nothing_done:
            raise SfmError(f"no image of {work.images} can be read: {done.failures[0][1]}")
        if done.done + done.skipped < 2:
            raise SfmError(f"{work.images} holds one image that can be read; a reconstruction needs at least two")
        return outcome_of(done, "keypoints")
