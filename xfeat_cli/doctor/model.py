"""COLMAP models."""

from __future__ import annotations

from pathlib import Path

from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.doctor.graph import examine_graph
from xfeat_cli.sfm.tracks import read_posed


def is_model(folder: Path) -> bool:
    return any((folder / f"images.{suffix}").is_file() for suffix in ("bin", "txt"))


def examine_model(folder: Path) -> list[Finding]:
    posed = read_posed(folder)
    found = []
    blind = [name for name, points in zip(posed.names, posed.points, strict=True) if not len(points)]
    if blind:
        cause = f"{len(blind)} images have a pose and see no point: {some(blind)}"
        found.append(Finding(Severity.WARNING, "no-points", str(folder), cause, "leave them out: their poses are free"))
    siblings = sorted(path.name for path in folder.parent.iterdir() if path.is_dir() and is_model(path))
    if len(siblings) > 1:
        cause = f"the reconstruction fell into {len(siblings)} models: {some(siblings)}"
        remedy = "add pairs or photographs that join them"
        found.append(Finding(Severity.WARNING, "several-models", str(folder.parent), cause, remedy))
    first: dict[int, str] = {}
    shared = []
    for name, points in zip(posed.names, posed.points, strict=True):
        shared += [(first[p], name) for p in points.tolist() if first.setdefault(p, name) != name]
    return found + examine_graph(str(folder), posed.names, shared, "co-observing")
