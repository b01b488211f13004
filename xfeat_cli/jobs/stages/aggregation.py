"""Semi-dense matches → keypoints.h5 and aggregated.h5."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from xfeat_cli.config import Mode
from xfeat_cli.errors import ProvenanceError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.aggregate import AggregateSummary, aggregate
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.store.reader import KeypointsReader, MatchesReader


class Aggregation(KeyedStage):
    name, names = "aggregate", ("keypoints.h5", "aggregated.h5")

    def applies(self, work: Workspace) -> bool:
        return work.config.extraction.mode is Mode.SEMI_DENSE

    def key(self, work: Workspace) -> str:
        with KeypointsReader(work.features) as features, MatchesReader(work.matches) as matches:
            contents = fingerprint.of_content(features), fingerprint.of_content(matches)
        return key_of(contents=contents, options=asdict(work.config.aggregation))

    def make(self, work: Workspace) -> Outcome:
        for path in self.files(work):
            path.unlink()  # finished files that are no longer right; unfinished ones go on
        try:
            done = self._aggregate(work, overwrite=False)
        except ProvenanceError:
            done = self._aggregate(work, overwrite=True)
        result = {"matches": done.count, "kept_share": done.kept_share, "displacement_px": done.displacement_px}
        return Outcome(result, [reason for _, reason in done.failures])

    def hand_on(self, work: Workspace, result: dict[str, Any]) -> None:
        work.keypoints, work.matches = (work.folder / name for name in self.names)

    def _aggregate(self, work: Workspace, *, overwrite: bool) -> AggregateSummary:
        keypoints, matches = (work.folder / name for name in self.names)
        return aggregate(
            work.matches,
            work.features,
            keypoints,
            matches,
            work.config.aggregation,
            overwrite=overwrite,
            listener=work.listener,
        )
