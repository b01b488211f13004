"""Keypoints and matches → an unfinished database.db."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.files import FileKind, file_kind
from xfeat_cli.jobs.database import import_into, import_key, verification_key
from xfeat_cli.jobs.stages.base import Outcome, Stage, Workspace
from xfeat_cli.sfm.database import ImportSummary
from xfeat_cli.sfm.draft import drafting, is_damaged, is_sound, read_notes
from xfeat_cli.store.reader import KeypointsReader


class Import(Stage):
    name, names = "import", ("database.db",)

    def run(self, work: Workspace) -> Outcome:
        config = work.config
        key = import_key(work.keypoints, work.matches, work.images, config.cameras)
        if not work.overwrite and is_verified(work, key):
            return self._outcome(work, key, ImportSummary(**read_notes(work.database)["import"]["summary"]), True)
        if work.record.entry("import") is not None:
            _make_way(work.database, work)
        with drafting(work.database, overwrite=True) as draft:
            if work.overwrite:
                draft.discard()
            made, reused = import_into(
                draft, work.keypoints, work.matches, work.images, config.cameras, key, self._extracted(work)
            )
        return self._outcome(work, key, made, reused)

    def _extracted(self, work: Workspace) -> list[str]:
        """Return the photographs that came this far; the others have been reported."""
        with KeypointsReader(work.keypoints) as keypoints:
            return keypoints.names()

    def _outcome(self, work: Workspace, key: str, made: ImportSummary, reused: bool) -> Outcome:
        result: dict[str, Any] = {"images": made.images, "cameras": made.cameras}
        result.update(pairs=made.pairs, matches=made.matches, groups=made.groups)
        work.record.finish("import", key, result, made.problems, [])
        return Outcome(result, made.problems, reused)


def is_verified(work: Workspace, key: str) -> bool:
    """Return whether the finished database is of this import, verified as the config asks, and whole."""
    notes = read_notes(work.database)
    return bool(
        notes.get("import", {}).get("key") == key
        and notes.get("verification", {}).get("key") == verification_key(work.config.verification)
        and is_sound(work.database)
    )


def _make_way(database: Path, work: Workspace) -> None:
    """Remove what is left of a database that a run made here; a sound one of someone else's stays."""
    if not database.is_file() or read_notes(database):
        return
    if file_kind(database) is FileKind.DATABASE and not is_damaged(database):
        raise SfmError(
            f"{database} is no longer the one that `xfeat sfm` made, so it is left alone; move it away, or name "
            "another folder"
        )
    if file_kind(database) is not FileKind.EMPTY:
        work.tell(f"{database} was damaged since it was made; it is made again")
    database.unlink()
