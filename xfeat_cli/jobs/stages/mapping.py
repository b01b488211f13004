"""database.db → sparse/0, 1, …"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from xfeat_cli.jobs.mapping import NO_POSE, heard, problems
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.sfm.reconstruction import ModelSummary, map_database
from xfeat_cli.sfm.unregistered import Unregistered


class Reconstruction(KeyedStage):
    name, names = "reconstruct", ("sparse",)

    def key(self, work: Workspace) -> str:
        verified = work.record.entry("verify")
        assert verified is not None
        options = asdict(work.config.mapping)
        del options["threads"]
        return key_of(database=verified.key, options=options)

    def make(self, work: Workspace) -> Outcome:
        model = map_database(work.database, work.images, work.models, work.config.mapping, listen=heard(work.listener))
        told = set(re.split(r"[\s':,;]+", " ".join(work.summary.problems)))
        return Outcome(asdict(model), [line for line in problems(model) if line.split(NO_POSE)[0] not in told])

    def hand_on(self, work: Workspace, result: dict[str, Any]) -> None:
        missing = [Unregistered(**one) for one in result["unregistered"]]
        work.summary.model = ModelSummary(**{**result, "folder": str(work.models / "0"), "unregistered": missing})
