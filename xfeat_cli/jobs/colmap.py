"""Features and matches → a COLMAP database, verified if asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xfeat_cli.errors import UsageError
from xfeat_cli.jobs.database import import_into, import_key, verify_in
from xfeat_cli.jobs.progress import Listener
from xfeat_cli.sfm.config import CameraConfig, VerificationConfig
from xfeat_cli.sfm.database import ImportSummary
from xfeat_cli.sfm.draft import drafting
from xfeat_cli.sfm.engine import version
from xfeat_cli.sfm.verification import VerificationSummary, write_inliers


@dataclass
class ColmapSummary:
    """imported: what went into the database. verified: None unless asked. filtered_pairs: pairs written back."""

    database: str
    imported: ImportSummary
    verified: VerificationSummary | None = None
    filtered_pairs: int | None = None
    seconds: float = 0.0


def export_colmap(
    features: str | Path,
    matches: str | Path,
    database: str | Path,
    images: str | Path,
    config: CameraConfig | None = None,
    *,
    verification: VerificationConfig | None = None,
    filtered_matches: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> ColmapSummary:
    """Import features and index matches into a new COLMAP database.

    images: the folder that image names are relative to. config, options: see `CameraConfig`. verification: also
    estimate two-view geometries; filtered_matches: file for the matches that these keep. listener: told how many pairs
    are verified. The database appears when all of that is done; a run that was interrupted goes on where it stopped.
    Raises SfmError when the database exists (unless `overwrite`, which never replaces one that xfeat did not make) or
    nothing can be imported, UsageError, LockedError, StoreError.
    """
    started = time.monotonic()
    version()
    features, matches, database, images = map(Path, (features, matches, database, images))
    config = replace(config or CameraConfig(), **options)
    if filtered_matches is not None and Path(filtered_matches).absolute() in (features.absolute(), matches.absolute()):
        raise UsageError(f"{filtered_matches}: the filtered matches need a file of their own")
    with drafting(database, (features, matches), overwrite=overwrite) as draft:
        key = import_key(features, matches, images, config)
        summary = ColmapSummary(str(database), import_into(draft, features, matches, images, config, key)[0])
        if verification is not None or filtered_matches is not None:
            summary.verified = verify_in(draft, verification or VerificationConfig(), listener)
        if filtered_matches is not None:
            output = Path(filtered_matches)
            summary.filtered_pairs = write_inliers(draft.path, features, matches, output, overwrite=overwrite)
        draft.finish()
    summary.seconds = time.monotonic() - started
    return summary
