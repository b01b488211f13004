"""Keypoints and matches → refined.h5 and refined-matches.h5."""

from __future__ import annotations

from xfeat_cli.jobs.refine import refine
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace, outcome_of, resumed


class Refinement(Stage):
    name = "refine"

    def applies(self, work: Workspace) -> bool:
        return work.config.refinement is not None

    def run(self, work: Workspace) -> Outcome:
        keypoints, matches = work.folder / "refined.h5", work.folder / "refined-matches.h5"
        done = resumed(
            lambda overwrite: refine(
                work.keypoints,
                work.matches,
                work.images,
                keypoints,
                matches,
                work.config.refinement,
                links=work.folder / "links.h5",
                overwrite=overwrite,
                listener=work.listener,
            ),
            work,
        )
        outcome = outcome_of(done, "registered")
        if done.nothing_done:  # not one photograph could be read again: what there is stays as it is
            return outcome
        work.keypoints, work.matches = keypoints, matches
        if done.pairs:
            outcome.result.update(matches=done.kept_matches, refined_pairs=done.refined_pairs, moved_px=done.moved_px)
        return outcome
