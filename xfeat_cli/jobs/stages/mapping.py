"""database.db → sparse/0, 1, …"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from xfeat_cli.jobs.mapping import NO_POSE, heard, known_places, problems
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.sfm.georegistration import GeoRegistration, Places
from xfeat_cli.sfm.reconstruction import ModelSummary, map_database
from xfeat_cli.sfm.unregistered import Unregistered
from xfeat_cli.store.reader import KeypointsReader


class Reconstruction(KeyedStage):
    name, names = "reconstruct", ("sparse",)

    def key(self, work: Workspace) -> str:
        verified = work.record.entry("verify")
        assert verified is not None
        options = asdict(work.config.mapping)
        del options["threads"]
        places = self._places(work)
        return key_of(database=verified.key, options=options, places=None if places is None else asdict(places))

    def make(self, work: Workspace) -> Outcome:
        model = map_database(
            work.database,
            work.images,
            work.models,
            work.config.mapping,
            self._places(work),
            listen=heard(work.listener),
        )
        told = set(re.split(r"[\s':,;]+", " ".join(work.summary.problems)))
        return Outcome(asdict(model), [line for line in problems(model) if line.split(NO_POSE)[0] not in told])

    def hand_on(self, work: Workspace, result: dict[str, Any]) -> None:
        missing = [Unregistered(**image) for image in result["unregistered"]]
        moved = result["georegistration"]
        changed = {
            "folder": str(work.models / "0"),
            "unregistered": missing,
            "georegistration": None if moved is None else GeoRegistration(**moved),
        }
        work.summary.model = ModelSummary(**{**result, **changed})

    def _places(self, work: Workspace) -> Places | None:
        if not work.config.mapping.georegister:
            return None
        with KeypointsReader(work.keypoints) as keypoints:
            return known_places(work.images, keypoints.names(), work.config.pairing.positions)
