"""Keypoints and matches → database.db."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.sfm.database import build_database
from xfeat_cli.sfm.engine import version
from xfeat_cli.store.reader import KeypointsReader, MatchesReader


class Import(KeyedStage):
    name = "import"

    def key(self, work: Workspace) -> str:
        with KeypointsReader(work.keypoints) as keypoints, MatchesReader(work.matches) as matches:
            contents = fingerprint.of_content(keypoints), fingerprint.of_content(matches)
        return key_of(contents=contents, pycolmap=version(), options=asdict(work.config.cameras))

    def files(self, work: Workspace) -> list[Path]:
        return [work.database]

    def make(self, work: Workspace) -> Outcome:
        work.record.forget("verify")
        made = build_database(
            work.keypoints, work.matches, work.database, work.images, work.config.cameras, overwrite=True
        )
        result = {"images": made.images, "cameras": made.cameras, "pairs": made.pairs, "matches": made.matches}
        return Outcome(result, made.problems)
