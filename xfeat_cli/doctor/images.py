"""Folders of photographs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.errors import ImageError
from xfeat_cli.images import file_digest
from xfeat_cli.photo_names import walk
from xfeat_cli.store.names import colliding_names


def examine_images(folder: Path) -> list[Finding]:
    found = walk(folder)
    findings = [
        Finding(Severity.WARNING, "not-read", str(folder), *note.split(": ", 1))
        for note in found.notes()
        if ": " in note
    ]
    findings += _duplicates(folder, found.photographs)
    colliding = colliding_names(found.photographs)
    if colliding:
        names = some([" and ".join(owners) for owners in colliding])
        cause = f"{names} have one name in matches files, as hloc writes it"
        findings.append(Finding(Severity.ERROR, "names-collide", str(folder), cause, "rename one of each"))
    return findings


def examine_masks(masks: Path, folder: Path) -> list[Finding]:
    """Return masks named `NAME.jpg.png` in a folder of their own, against the photographs."""
    unfit = [name for name in walk(masks).photographs if not (folder / name.removesuffix(".png")).is_file()]
    if not unfit:
        return []
    cause = f"{len(unfit)} masks fit no photograph in {folder} ({some(unfit)})"
    return [Finding(Severity.ERROR, "unmatched-masks", str(masks), cause, "name the mask of a.jpg a.jpg.png")]


def _duplicates(folder: Path, names: list[str]) -> list[Finding]:
    by_size: dict[int, list[str]] = defaultdict(list)
    for name in names:
        by_size[(folder / name).stat().st_size].append(name)
    by_digest: dict[str, list[str]] = defaultdict(list)
    for same_size in by_size.values():
        for name in same_size if len(same_size) > 1 else ():
            try:
                by_digest[file_digest(folder / name)].append(name)
            except ImageError:
                continue
    doubles = [" and ".join(same) for same in by_digest.values() if len(same) > 1]
    if not doubles:
        return []
    cause = f"{len(doubles)} photographs are there twice: {some(doubles)}"
    remedy = "a pair of equal images has no baseline and misleads mappers: keep one of each"
    return [Finding(Severity.WARNING, "duplicates", str(folder), cause, remedy)]
