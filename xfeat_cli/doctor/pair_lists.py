"""Lists of pairs, alone and against the images that there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.doctor.graph import examine_graph
from xfeat_cli.pairing.lists import read_pairs
from xfeat_cli.photo_names import KnownNames


def examine_pairs(path: Path, names: Sequence[str] | None) -> list[Finding]:
    """names: of the images that there are, if that is known."""
    pairs = read_pairs(path, KnownNames(names) if names is not None else None)
    listed = sorted({name for pair in pairs for name in pair})
    found = []
    if names is not None:
        unknown = sorted({*listed} - {*names})
        if unknown:
            cause = f"{len(unknown)} names are of no image: {some(unknown)}"
            remedy = "names are relative to the folder of images, as `xfeat inspect` shows them"
            found.append(Finding(Severity.ERROR, "unknown-images", str(path), cause, remedy))
        unpaired = sorted({*names} - {*listed})
        if unpaired:
            cause = f"{len(unpaired)} images are in no pair: {some(unpaired)}"
            found.append(Finding(Severity.WARNING, "unpaired", str(path), cause, "add pairs, or leave the images out"))
    return found + examine_graph(str(path), listed, pairs, "listed")
