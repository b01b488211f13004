"""COLMAP databases, read as SQLite: of any version, without COLMAP."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np

from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.doctor.graph import examine_graph
from xfeat_cli.errors import UsageError

_MOST_IMAGES = 2_147_483_647
"""COLMAP numbers a pair as one image's number times this, plus the other's."""


def examine_database(path: Path) -> list[Finding]:
    """Raises UsageError for a database that is damaged or not COLMAP's."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            return _examine(path, database)
    except (sqlite3.Error, ValueError, OverflowError) as error:
        raise UsageError(f"{path} is damaged, or no database of COLMAP's ({error})") from None


def _examine(path: Path, database: sqlite3.Connection) -> list[Finding]:
    names = dict(database.execute("SELECT image_id, name FROM images"))
    sizes = {
        image: (width, height)
        for image, width, height in database.execute(
            "SELECT image_id, width, height FROM images JOIN cameras USING (camera_id)"
        )
    }
    counts: dict[int, int] = {}
    outside = []
    for image, rows, columns, data in database.execute("SELECT image_id, rows, cols, data FROM keypoints"):
        counts[image] = rows
        if not rows or columns < 2 or data is None or len(data) != 4 * rows * columns:
            continue
        points = np.frombuffer(data, np.float32).reshape(rows, columns)[:, :2]
        if image in sizes and not ((points >= 0) & (points <= sizes[image])).all():
            outside.append(names.get(image, str(image)))
    verified = dict(database.execute("SELECT pair_id, rows FROM two_view_geometries"))
    unverified, beyond, joined = [], [], []
    for pair, rows, data in database.execute("SELECT pair_id, rows, data FROM matches"):
        two = pair % _MOST_IMAGES
        one = (pair - two) // _MOST_IMAGES
        label = " ".join(names.get(image, str(image)) for image in (one, two))
        if rows and data is not None and len(data) == 8 * rows:
            most = np.frombuffer(data, np.uint32).reshape(-1, 2).max(axis=0)
            if most[0] >= counts.get(one, 0) or most[1] >= counts.get(two, 0):
                beyond.append(label)
        if rows and not verified.get(pair):
            unverified.append(label)
        elif rows and one in names and two in names:
            joined.append((names[one], names[two]))
    without = sorted(name for image, name in names.items() if not counts.get(image))
    verify = "run verification (`xfeat colmap --verify`, or COLMAP's matches_importer)"
    checks = (
        (outside, "outside", Severity.ERROR, "images have keypoints outside of them", "extract and import again"),
        (beyond, "other-run", Severity.ERROR, "pairs refer to keypoints that are not there", "match and import again"),
        (without, "no-keypoints", Severity.WARNING, "images have no keypoints", "leave them out, or extract again"),
        (unverified, "unverified", Severity.WARNING if verified else Severity.ERROR,
         "matched pairs have no verified match", "they do not overlap, or were not verified" if verified else verify),
    )  # fmt: skip
    found = [
        Finding(severity, check, str(path), f"{len(those)} {cause}: {some(those)}", remedy)
        for those, check, severity, cause, remedy in checks
        if those
    ]
    return found + examine_graph(str(path), names.values(), joined, "verified") if verified else found
