"""database.db → the same, with two-view geometries."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.sfm.verification import verify


class Verification(KeyedStage):
    name = "verify"

    def key(self, work: Workspace) -> str:
        imported = work.record.entry("import")
        assert imported is not None
        return key_of(database=imported.key, seed=work.config.verification.seed)

    def files(self, work: Workspace) -> list[Path]:
        return [work.database]

    def make(self, work: Workspace) -> Outcome:
        return Outcome(asdict(verify(work.database, work.config.verification)))
