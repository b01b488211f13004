"""Features and matches → a COLMAP database, verified if asked."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.config import CameraConfig, VerificationConfig
from xfeat_cli.sfm.database import ImportSummary, build_database
from xfeat_cli.sfm.verification import VerificationSummary, verify, write_inliers


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
    **options: Any,
) -> ColmapSummary:
    """Import features and index matches into a new COLMAP database.

    images: the folder that image names are relative to. config, options: see `CameraConfig`. verification: also
    estimate two-view geometries; filtered_matches: file for the matches that these keep.
    Raises SfmError when the database exists (unless `overwrite`) or nothing can be imported, UsageError, StoreError.
    """
    started = time.monotonic()
    features, matches, database, images = map(Path, (features, matches, database, images))
    config = replace(config or CameraConfig(), **options)
    if filtered_matches is not None and Path(filtered_matches).absolute() in (features.absolute(), matches.absolute()):
        raise UsageError(f"{filtered_matches}: the filtered matches need a file of their own")
    summary = ColmapSummary(
        str(database), build_database(features, matches, database, images, config, overwrite=overwrite)
    )
    if verification is not None or filtered_matches is not None:
        summary.verified = verify(database, verification or VerificationConfig())
    if filtered_matches is not None:
        summary.filtered_pairs = write_inliers(database, features, matches, Path(filtered_matches), overwrite=overwrite)
    summary.seconds = time.monotonic() - started
    return summary
