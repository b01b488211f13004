"""What a folder holds that a report can be made of: of xfeat, of hloc, of COLMAP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xfeat_cli.errors import StoreError, UsageError
from xfeat_cli.jobs.contents import Contents, contents
from xfeat_cli.sfm.model import is_model
from xfeat_cli.store.layout import FEATURES, KEYPOINTS, MATCHES, SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES

_IMAGE_KINDS = (KEYPOINTS, FEATURES, SEMI_DENSE_FEATURES)
_PAIR_KINDS = (MATCHES, SEMI_DENSE_MATCHES)
_MATCHES_OF = {"keypoints.h5": "aggregated.h5"}
_TRIED = 50


@dataclass
class Sources:
    """Paths, None or empty where there is nothing. made_with: attributes of the features file."""

    folder: Path
    features: Path | None = None
    matches: Path | None = None
    database: Path | None = None
    models: list[Path] = field(default_factory=list)
    stages: dict[str, Any] = field(default_factory=dict)
    made_with: dict[str, Any] = field(default_factory=dict)


def find_sources(folder: Path) -> Sources:
    """Look into a folder of `xfeat sfm`, a COLMAP model or workspace, or outputs of hloc. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give the one that `xfeat sfm` wrote, or a COLMAP model")
    sources = Sources(folder, models=_models(folder))
    beside = _around(folder, sources.models)
    sources.database = next((path for place in beside for path in _databases(place)), None)
    for place in beside:
        held = {path: inside for path in sorted(place.glob("*.h5")) if (inside := _contents(path)) is not None}
        images = [path for path, inside in held.items() if inside.kind in _IMAGE_KINDS]
        pairs = [path for path, inside in held.items() if inside.kind in _PAIR_KINDS]
        if images and sources.features is None:
            sources.features = _preferred(images, ("keypoints.h5", "features.h5", "out.h5"))
            sources.made_with = held[sources.features].attributes
        if pairs and sources.matches is None:
            name = sources.features.name if sources.features else ""
            sources.matches = _preferred(pairs, (_MATCHES_OF.get(name, "matches.h5"), "matches.h5"))
    sources.stages = read_json(folder / "stages.json")
    if not (sources.models or sources.features or sources.matches or sources.database):
        raise UsageError(
            f"{folder} holds no features, matches, database or model; give the folder that `xfeat sfm` wrote"
        )
    return sources


def find_images_folder(sources: Sources, names: Sequence[str], previous: dict[str, Any]) -> Path | None:
    """Return where the photographs are: where an earlier report found them, or in an images folder nearby."""
    folder = sources.folder
    said = [previous.get("run", {}).get("images")]
    nearby = [folder / "images", folder.parent / "images", folder.parent.parent / "images", folder, folder.parent]
    for candidate in [*(Path(path) for path in said if isinstance(path, str)), *nearby]:
        if candidate.is_dir() and any((candidate / name).is_file() for name in names[:_TRIED]):
            return candidate
    return None


def _models(folder: Path) -> list[Path]:
    """Return the models at the first level that has any: the folder itself, sparse/, folders in it, folders in
    those.
    """
    if is_model(folder):
        return [folder]
    for level in ("sparse/*", "sparse", "*", "*/*"):
        found = [path for path in sorted(folder.glob(level)) if path.is_dir() and is_model(path)]
        if found:
            return found
    return []


def _around(folder: Path, models: list[Path]) -> list[Path]:
    """Return where the files of a model are looked for: in the folder, beside the model, above `sparse`."""
    places = [folder, *models[:1]]
    if models and models[0] == folder and folder.parent.name == "sparse":
        places.append(folder.parent.parent)
    return list(dict.fromkeys(places))


def _databases(folder: Path) -> list[Path]:
    usual = folder / "database.db"
    return [usual] if usual.is_file() else sorted(folder.glob("*.db"))[:1]


def _contents(path: Path) -> Contents | None:
    try:
        return contents(path)
    except StoreError:
        return None


def _preferred(paths: list[Path], names: Sequence[str]) -> Path:
    by_name = {path.name: path for path in paths}
    return next((by_name[name] for name in names if name in by_name), paths[0])


def read_json(path: Path) -> dict[str, Any]:
    """Return an object from a JSON file; empty when there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
