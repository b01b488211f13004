"""database.db → sparse/0, 1, …"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from xfeat_cli.jobs.record import Entry, key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.sfm.reconstruction import ModelSummary, map_database


class Reconstruction(KeyedStage):
    name = "reconstruct"

    def key(self, work: Workspace) -> str:
        verified = work.record.entry("verify")
        assert verified is not None
        options = asdict(work.config.mapping)
        del options["threads"]
        return key_of(database=verified.key, options=options)

    def files(self, work: Workspace) -> list[Path]:
        return [work.models]

    def make(self, work: Workspace) -> Outcome:
        return Outcome(asdict(map_database(work.database, work.images, work.models, work.config.mapping)))

    def hand_on(self, work: Workspace, entry: Entry) -> None:
        work.summary.model = ModelSummary(**entry.result)
