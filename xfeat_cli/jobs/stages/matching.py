"""pairs.txt and features.h5 → matches.h5."""

from __future__ import annotations

from xfeat_cli.errors import SfmError
from xfeat_cli.jobs.match import match
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace, outcome_of, resumed


class Matching(Stage):
    name = "match"

    def run(self, work: Workspace) -> Outcome:
        done = resumed(
            lambda overwrite: match(
                work.pairs,
                work.features,
                work.matches,
                work.config.matching,
                overwrite=overwrite,
                listener=work.listener,
            ),
            work,
        )
        if done.nothing_done:
            raise SfmError(f"no pair of {work.pairs} can be matched: {done.failures[0][1]}")
        return outcome_of(done, "matches")
