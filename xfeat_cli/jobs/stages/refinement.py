"""Keypoints and matches → refined.h5 and refined-matches.h5; links.h5 keeps what registration says of each pair."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from xfeat_cli.errors import ProvenanceError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.refine import refine
from xfeat_cli.jobs.refined import RefineSummary
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.store.reader import KeypointsReader, MatchesReader


class Refinement(KeyedStage):
    name, names = "refine", ("refined.h5", "refined-matches.h5")

    def applies(self, work: Workspace) -> bool:
        return work.config.refinement is not None

    def key(self, work: Workspace) -> str:
        assert work.config.refinement is not None
        with KeypointsReader(work.keypoints) as keypoints, MatchesReader(work.matches) as matches:
            contents = fingerprint.of_content(keypoints), fingerprint.of_content(matches)
        options = asdict(work.config.refinement)
        del options["workers"]
        return key_of(contents=contents, options=options)

    def make(self, work: Workspace) -> Outcome:
        for path in self.files(work):
            path.unlink()  # finished files that are no longer right; the links of their pairs may still be
        try:
            done = self._refine(work, overwrite=work.overwrite)
        except ProvenanceError:
            done = self._refine(work, overwrite=True)
        problems = [reason for _, reason in done.failures]
        if done.nothing_done:  # not one photograph could be read again: what there is stays as it is
            return Outcome({"refined_pairs": 0}, problems)
        result = {"matches": done.kept_matches, "refined_pairs": done.refined_pairs, "moved_px": done.moved_px}
        return Outcome(result, problems)

    def hand_on(self, work: Workspace, result: dict[str, Any]) -> None:
        if "matches" in result:
            work.keypoints, work.matches = (work.folder / name for name in self.names)

    def _refine(self, work: Workspace, *, overwrite: bool) -> RefineSummary:
        keypoints, matches = (work.folder / name for name in self.names)
        return refine(
            work.keypoints,
            work.matches,
            work.images,
            keypoints,
            matches,
            work.config.refinement,
            links=work.folder / "links.h5",
            overwrite=overwrite,
            listener=work.listener,
        )
