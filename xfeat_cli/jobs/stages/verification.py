"""An unfinished database.db → the finished one, with two-view geometries."""

from __future__ import annotations

from dataclasses import asdict

from xfeat_cli.errors import SfmError
from xfeat_cli.jobs.database import verification_key, verify_in
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace
from xfeat_cli.jobs.stages.importing import is_verified
from xfeat_cli.sfm.draft import drafting, read_notes


class Verification(Stage):
    name, names = "verify", ()

    def run(self, work: Workspace) -> Outcome:
        imported = work.record.entry("import")
        assert imported is not None
        key = key_of(database=imported.key, verification=verification_key(work.config.verification))
        if not work.overwrite and is_verified(work, imported.key):
            result = read_notes(work.database)["verification"]["summary"]
            work.record.finish("verify", key, result, [], [])
            return Outcome(result, reused=True)
        with drafting(work.database, overwrite=True) as draft:
            if draft.notes().get("import", {}).get("key") != imported.key:
                raise SfmError(f"{work.database} was written by another program meanwhile; run the same command again")
            made = verify_in(draft, work.config.verification, work.listener)
            draft.finish()
        work.record.finish("verify", key, asdict(made), [], [])
        return Outcome(asdict(made))
