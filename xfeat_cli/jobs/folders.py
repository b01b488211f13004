"""The folder of photographs that a features file remembers: never another one's, and nothing of what has vanished."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from xfeat_cli.errors import ImageError, ProvenanceError
from xfeat_cli.files import warn_once
from xfeat_cli.images import ImageFile, file_digest
from xfeat_cli.pairing.present import vanished_line
from xfeat_cli.store.writer import Store

_REMEMBERED = "images"


def check_same_folder(store: Store, root: Path, files: Iterable[ImageFile]) -> None:
    """Refuse to add a folder's photographs to a file that holds those of another one; name those that have vanished.

    A folder that was moved or renamed with its photographs is the same one: the former is gone, and none of the stored
    images that the new one holds has changed. Raises ProvenanceError.
    """
    now, before = os.path.realpath(root), store.remembered(_REMEMBERED)
    if before is not None and before != now:
        if os.path.isdir(before) or not _was_moved(store, files):
            raise ProvenanceError(
                f"{store.path} holds features of the photographs in {before}, not {now}; use overwrite=True to start "
                "again, or another output name"
            )
        store.remember(_REMEMBERED, now)
    if before is None:
        store.remember(_REMEMBERED, now)
    vanished = sorted(name for name in store.names() if not (root / name).exists())
    if vanished:
        warn_once(f"{store.path}: {vanished_line(vanished)}")


def remember(store: Store, root: Path) -> bool:
    """Let a file be of this folder's photographs from now on; returns whether it was of another's."""
    now, before = os.path.realpath(root), store.remembered(_REMEMBERED)
    if before != now:
        store.remember(_REMEMBERED, now)
    return before is not None and before != now


def _was_moved(store: Store, files: Iterable[ImageFile]) -> bool:
    stored = [file for file in files if file.name in store]
    return bool(stored) and all(is_unchanged(file, store) for file in stored)


def is_unchanged(file: ImageFile, store: Store) -> bool:
    """Return whether a photograph is still the one whose features the file holds."""
    try:
        return file_digest(file.path) == store.attributes(file.name).get("image_digest")
    except ImageError:
        return True
