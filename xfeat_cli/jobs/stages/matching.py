"""pairs.txt and features.h5 → matches.h5."""

from __future__ import annotations

from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.jobs.match import match
from xfeat_cli.jobs.progress import Summary
from xfeat_cli.jobs.stages.base import GrowingStage, Outcome, Workspace


class Matching(GrowingStage):
    name, names, counted = "match", ("matches.h5",), "matches"

    def job(self, work: Workspace, overwrite: bool) -> Summary:
        return match(
            work.pairs,
            work.features,
            work.matches,
            work.config.matching,
            overwrite=overwrite,
            renew=True,
            listener=work.listener,
        )

    def finish(self, work: Workspace, done: Any) -> Outcome:
        if done.nothing_done:
            raise SfmError(f"no pair of {work.pairs} can be matched: {done.failures[0][1]}")
        return super().finish(work, done)
