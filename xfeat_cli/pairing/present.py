"""The images of a features file that new pairs are made of: those whose photographs are still there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xfeat_cli.files import warn_once
from xfeat_cli.pairing.lists import can_be_listed
from xfeat_cli.store.layout import IMAGES_ATTRIBUTE
from xfeat_cli.store.reader import FeaturesReader, KeypointsReader


def present_names(reader: FeaturesReader | KeypointsReader) -> list[str]:
    """Return names of a file's images, sorted, without those that have vanished from the folder that the file
    remembers.

    Those, and names that no list can hold, are named in a warning. Where the file remembers no folder, or that is not
    here, all of them.
    """
    names, folder = reader.names(), reader.attributes.get(IMAGES_ATTRIBUTE)
    if isinstance(folder, str) and "\0" not in folder and Path(folder).is_dir():
        vanished = [name for name in names if not _exists(Path(folder), name)]
        if vanished:
            warn_once(f"{reader.path}: {vanished_line(vanished)}")
            gone = set(vanished)
            names = [name for name in names if name not in gone]
    for name in names:
        if not can_be_listed(name):
            warn_once(f"left out: {name!r} cannot stand in a list of pairs; rename the file")
    return [name for name in names if can_be_listed(name)]


def vanished_line(names: Sequence[str]) -> str:
    """Return what the user is told of entries whose photographs are gone."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"left out of new pairs, because their photographs are gone: {', '.join(names[:3])}{more}"


def _exists(folder: Path, name: str) -> bool:
    try:
        return (folder / name).exists()
    except (OSError, ValueError):
        return False
