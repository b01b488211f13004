"""What an HDF5 file holds, of xfeat, of hloc, or of anyone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from xfeat_cli.errors import StoreError
from xfeat_cli.store import layout, reader, values

_COUNTED = {
    layout.FEATURES: ("images", "keypoints"),
    layout.SEMI_DENSE_FEATURES: ("images", "keypoints"),
    layout.KEYPOINTS: ("images", "keypoints"),
    layout.MATCHES: ("pairs", "matches"),
    layout.SEMI_DENSE_MATCHES: ("pairs", "matches"),
    layout.LINKS: ("pairs", "links"),
}


@dataclass(frozen=True)
class Counts:
    """How many keypoints or matches the complete entries have."""

    min: int
    median: float
    max: int
    total: int


@dataclass(frozen=True)
class Inspection:
    """Contents of a file.

    kind: one of the kinds of `store.layout`, or "unknown content". made_by_xfeat: whether the file says so itself.
    finished: False for a file that a job is still writing, or has left; then this is its last commit.
    unit: "images" or "pairs"; "groups" in unknown content. entries: number of complete ones.
    counted: "keypoints" or "matches", what `counts` counts; None in unknown content, counts also without entries.
    datasets: dtype and shape, by name, of the first complete entry.
    made_with: options, weights and version, from the root's attributes.
    incomplete: what is wrong with an entry, by its name.
    size_bytes: size on disk.
    """

    path: str
    kind: str
    made_by_xfeat: bool
    finished: bool
    unit: str
    entries: int
    counted: str | None
    counts: Counts | None
    datasets: dict[str, str]
    made_with: dict[str, Any]
    incomplete: dict[str, str]
    size_bytes: int


def inspect_file(path: Path) -> Inspection:
    """Look into a file without changing it. Raises StoreError when it is missing, not HDF5, or damaged."""
    path = Path(path)
    with reader.open_hdf5(path) as h5:
        try:
            attributes = values.python_attributes(h5)
            groups = values.groups(h5)
        except values.HDF5_ERRORS as error:
            raise StoreError(f"{path} is damaged: {error}") from error
        filled = {name: keys for name, keys in groups.items() if keys}
        stated = attributes.pop("xfeat_kind", None)
        kind = str(stated or layout.guess_kind(filled))
        unit, counted = _COUNTED.get(kind, ("groups", None))
        required = layout.REQUIRED_DATASETS.get(kind, ())
        incomplete = _incomplete(groups, required) if counted else {}
        numbers = []
        complete = [name for name in sorted(filled) if name not in incomplete]
        for name in complete if counted else []:
            try:
                if kind == layout.MATCHES:
                    numbers.append(reader.match_count(h5, name))
                else:
                    numbers.append(reader.row_count(h5, name, required[0]))
            except StoreError as error:
                incomplete[name] = str(error)
        complete = [name for name in complete if name not in incomplete]
        return Inspection(
            path=str(path),
            kind=kind,
            made_by_xfeat=stated is not None,
            finished=not path.name.endswith(".partial"),
            unit=unit,
            entries=len(complete),
            counted=counted,
            counts=Counts(min(numbers), median(numbers), max(numbers), sum(numbers)) if numbers else None,
            datasets=reader.describe_datasets(h5, complete[0], filled[complete[0]]) if complete else {},
            made_with={key.removeprefix("xfeat_"): value for key, value in attributes.items()},
            incomplete=incomplete,
            size_bytes=path.stat().st_size,
        )


def _incomplete(groups: dict[str, tuple[str, ...]], required: tuple[str, ...]) -> dict[str, str]:
    """Return entries without a required dataset, and groups that hold nothing at all."""
    folders = {name.rpartition("/")[0] for name in groups}
    found = {}
    for name, keys in groups.items():
        missing = [key for key in required if key not in keys]
        if missing and (keys or name not in folders):
            found[name] = f"lacks {', '.join(missing)}"
    return found
