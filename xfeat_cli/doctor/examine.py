"""All examinations of the files given, each alone and against one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from xfeat_cli.doctor.database import examine_database
from xfeat_cli.doctor.features import examine_features
from xfeat_cli.doctor.findings import Finding, Severity
from xfeat_cli.doctor.half_pixel import examine_half_pixel
from xfeat_cli.doctor.images import examine_images, examine_masks
from xfeat_cli.doctor.matches import examine_matches
from xfeat_cli.doctor.model import examine_model, is_model
from xfeat_cli.doctor.pair_lists import examine_pairs
from xfeat_cli.errors import UsageError, WeightsError, XFeatError
from xfeat_cli.files import FileKind, file_kind
from xfeat_cli.inspection import inspect_file
from xfeat_cli.photo_names import walk
from xfeat_cli.store.layout import FEATURES, KEYPOINTS, MATCHES, SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES

_OF_IMAGES = (FEATURES, SEMI_DENSE_FEATURES, KEYPOINTS)
_OF_PAIRS = (MATCHES, SEMI_DENSE_MATCHES)


def examine(paths: Sequence[Path]) -> list[Finding]:
    """Return what is wrong with features, matches, databases, models, lists of pairs and folders of photographs.

    Files given together are also held against one another: matches and lists against the features, features against
    the photographs, in the folder given or in the one that they remember. Raises UsageError for what does not exist.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist")
    kinds = {path: _kind(path) for path in paths}
    features = next((path for path in paths if kinds[path] in _OF_IMAGES), None)
    folders = [path for path in paths if kinds[path] == "images"]
    images = folders[0] if folders else _remembered(features)
    names = _names(features, images)
    found: list[Finding] = []
    for path in paths:
        kind = kinds[path]
        if kind in _OF_IMAGES:
            found += _guarded(path, lambda path=path: examine_features(path, images))  # type: ignore[misc]
            if images is not None and kind == FEATURES:
                found += _guarded(path, lambda path=path: examine_half_pixel(path, images))  # type: ignore[misc]
        elif kind in _OF_PAIRS:
            found += _guarded(path, lambda path=path: examine_matches(path, features))  # type: ignore[misc]
        elif kind == "images":
            found += examine_images(path) if path == images else examine_masks(path, folders[0])
        elif kind == "model":
            found += _guarded(path, lambda path=path: examine_model(path))  # type: ignore[misc]
        elif kind == "database":
            found += _guarded(path, lambda path=path: examine_database(path))  # type: ignore[misc]
        elif kind == "pairs":
            found += _guarded(path, lambda path=path: examine_pairs(path, names))  # type: ignore[misc]
        else:
            found.append(
                Finding(Severity.ERROR, "unknown", str(path), kind, "give files that xfeat, hloc or COLMAP use")
            )
    return found


def _kind(path: Path) -> str:
    """Return what a path holds, or why that is unknown."""
    if path.is_dir():
        return "model" if is_model(path) else "images"
    if not path.is_file():
        return "it is a device or a pipe"
    kind = file_kind(path)
    if kind is FileKind.HDF5 or path.name.endswith(".partial"):
        try:
            return inspect_file(path).kind
        except XFeatError as error:
            return str(error)
    if kind in (FileKind.PAIRS, FileKind.TEXT):
        return "pairs"
    return "database" if kind is FileKind.DATABASE else f"it holds {kind.value}"


def _guarded(path: Path, examination: Callable[[], list[Finding]]) -> list[Finding]:
    """Return one file that cannot be examined costs no other."""
    try:
        return examination()
    except WeightsError as error:
        return [Finding(Severity.NOTE, "not-examined", str(path), str(error), "the half-pixel check needs weights")]
    except XFeatError as error:
        return [Finding(Severity.ERROR, "unreadable", str(path), str(error), "make it again")]


def _remembered(features: Path | None) -> Path | None:
    """Return the folder of photographs that a features file remembers, if it is here."""
    if features is None:
        return None
    folder = inspect_file(features).made_with.get("images")
    return Path(folder) if isinstance(folder, str) and "\0" not in folder and Path(folder).is_dir() else None


def _names(features: Path | None, images: Path | None) -> list[str] | None:
    if features is not None:
        from xfeat_cli.store.reader import KeypointsReader

        try:
            with KeypointsReader(features) as reader:
                return reader.names()
        except XFeatError:
            return None
    return walk(images).photographs if images is not None else None
