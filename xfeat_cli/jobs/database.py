"""Import into and verification of a draft of a database, each only where it is not done yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from xfeat_cli.errors import XFeatError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.progress import Listener, Report, Status
from xfeat_cli.jobs.record import key_of
from xfeat_cli.sfm.config import CameraConfig, VerificationConfig
from xfeat_cli.sfm.database import ImportSummary, build_database
from xfeat_cli.sfm.draft import Draft, count_rows
from xfeat_cli.sfm.engine import version
from xfeat_cli.sfm.process import in_child
from xfeat_cli.sfm.verification import VerificationSummary, verify
from xfeat_cli.store.reader import KeypointsReader, MatchesReader


def import_key(features: Path, matches: Path, images: Path, config: CameraConfig) -> str:
    """Return digest of what an import depends on."""
    with KeypointsReader(features) as keypoints, MatchesReader(matches) as pairs:
        contents = fingerprint.of_content(keypoints), fingerprint.of_content(pairs)
        # Files of other tools say nothing of their content in attributes.
        foreign = [_stat(reader.path) for reader in (keypoints, pairs) if "xfeat_kind" not in reader.attributes]
    return key_of(contents=contents, foreign=foreign, pycolmap=version(), options=asdict(config))


def import_into(
    draft: Draft,
    features: Path,
    matches: Path,
    images: Path,
    config: CameraConfig,
    key: str,
    listed: Collection[str] | None = None,
) -> tuple[ImportSummary, bool]:
    """Import, unless an interrupted run has; returns also whether it had. listed: as of `build_database`."""
    before = draft.notes().get("import", {})
    if before.get("key") == key:
        return ImportSummary(**before["summary"]), True
    draft.discard()
    try:
        arguments = features, matches, draft.path, images, config, listed
        summary = in_child(build_database, *arguments, place=draft.database, doing="importing")
        draft.note(**{"import": {"key": key, "summary": asdict(summary)}})
    except XFeatError:
        draft.discard()
        raise
    return summary, False


def verification_key(config: VerificationConfig) -> str:
    """Return digest of what a verification depends on besides the import."""
    return key_of(seed=config.seed)


def verify_in(draft: Draft, config: VerificationConfig, listener: Listener | None = None) -> VerificationSummary:
    """Verify the imported pairs that are not verified yet."""
    key = verification_key(config)
    begun = draft.notes().get("verification", {}).get("key", key)
    total = count_rows(draft.path, "matches") or 0
    if listener is not None:
        listener.start(total)

    def tick() -> None:
        done = count_rows(draft.path, "two_view_geometries")
        if listener is not None and done is not None:
            listener.update(Report("verify", Status.OK, done))

    if begun == key:
        draft.note(verification={"key": key})
    summary = in_child(verify, draft.path, config, begun != key, place=draft.database, doing="verifying", tick=tick)
    draft.note(verification={"key": key, "summary": asdict(summary)})
    return summary


def _stat(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
