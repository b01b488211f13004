"""Semi-dense matches → keypoints.h5 and aggregated.h5."""

from __future__ import annotations

from xfeat_cli.config import Mode
from xfeat_cli.jobs.aggregate import aggregate
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace, outcome_of, resumed


class Aggregation(Stage):
    name = "aggregate"

    def applies(self, work: Workspace) -> bool:
        return work.config.extraction.mode is Mode.SEMI_DENSE

    def run(self, work: Workspace) -> Outcome:
        keypoints, matches = work.folder / "keypoints.h5", work.folder / "aggregated.h5"
        done = resumed(
            lambda overwrite: aggregate(
                work.matches,
                work.features,
                keypoints,
                matches,
                work.config.aggregation,
                overwrite=overwrite,
                listener=work.listener,
            ),
            work,
        )
        work.keypoints, work.matches = keypoints, matches
        outcome = outcome_of(done, "matches")
        outcome.result.update(kept_share=done.kept_share, displacement_px=done.displacement_px)
        return outcome
