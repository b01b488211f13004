"""Features and matches → a COLMAP database.

COLMAP numbers the images itself (`import_images` makes cameras, images, rigs and frames and reads the focal length from
EXIF). No descriptors are written: COLMAP 4 types them and knows no XFeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.coordinates import to_colmap
from xfeat_cli.errors import SfmError, StoreError
from xfeat_cli.images import find_images
from xfeat_cli.sfm.config import CameraConfig, CameraSharing
from xfeat_cli.sfm.engine import pycolmap
from xfeat_cli.sfm.process import Listen
from xfeat_cli.store.layout import SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import Matches

_CAMERA_MODES = {
    CameraSharing.SINGLE: "SINGLE",
    CameraSharing.PER_FOLDER: "PER_FOLDER",
    CameraSharing.AUTO: "AUTO",
    CameraSharing.PER_IMAGE: "PER_IMAGE",
}

_SHARED = (CameraSharing.SINGLE, CameraSharing.PER_FOLDER)


@dataclass
class ImportSummary:
    """What went into a database. problems: one line for each image or pair that was left out or is of no use."""

    images: int = 0
    cameras: int = 0
    keypoints: int = 0
    pairs: int = 0
    matches: int = 0
    problems: list[str] = field(default_factory=list)


def build_database(
    features: Path, matches: Path, path: Path, images: Path, config: CameraConfig, *, listen: Listen | None = None
) -> ImportSummary:
    """Write cameras, images, rigs, frames, keypoints (half a pixel added) and matches into a new database.

    images: the folder that image names are relative to. Images that lack features, keypoints or a readable file, and
    pairs of unknown images, are reported in the summary, and the rest goes in.
    Raises SfmError when a camera model is unknown and when nothing can be imported; StoreError for files that cannot be
    read.
    """
    reader_options(config)
    with KeypointsReader(features) as keypoints, MatchesReader(matches) as pairs:
        if pairs.kind == SEMI_DENSE_MATCHES:
            raise SfmError(
                f"{matches} holds semi-dense matches; make keypoints of them first: xfeat aggregate {matches}"
            )
        if keypoints.kind == SEMI_DENSE_FEATURES:
            raise SfmError(f"{features} holds semi-dense features; give the keypoints that `xfeat aggregate` wrote")
        return _fill(path, keypoints, pairs, images, config)


def reader_options(config: CameraConfig) -> Any:
    """How COLMAP is to read images, as pycolmap.ImageReaderOptions. Raises SfmError for an unknown camera model."""
    engine = pycolmap()
    if config.model not in engine.CameraModelId.__members__:
        known = ", ".join(name for name in engine.CameraModelId.__members__ if name != "INVALID")
        raise SfmError(f"COLMAP has no camera model {config.model!r}; it has {known}")
    options = engine.ImageReaderOptions()
    options.camera_model = config.model
    return options


def camera_mode(config: CameraConfig) -> Any:
    """Which images share a camera, as pycolmap.CameraMode."""
    return getattr(pycolmap().CameraMode, _CAMERA_MODES[config.sharing])


def _fill(
    path: Path, features: KeypointsReader, matches: MatchesReader, images: Path, config: CameraConfig
) -> ImportSummary:
    engine = pycolmap()
    summary = ImportSummary()
    names = _importable(features, images, summary)
    engine.Database.open(path).close()
    for group in _of_one_size(features, names) if config.sharing in _SHARED else [names]:
        engine.import_images(path, images, camera_mode(config), group, reader_options(config))
    with engine.Database.open(path) as database, engine.DatabaseTransaction(database):
        counts = _write_keypoints(database, features, names, summary)
        if not counts:
            raise SfmError(f"none of {len(names)} images of {images} could be imported: {summary.problems[0]}")
        if not summary.keypoints:
            raise SfmError(f"no image in {features.path} has keypoints; extract from images that show something")
        _write_matches(database, matches, counts, features, summary)
        summary.images, summary.cameras = database.num_images(), database.num_cameras()
    if not summary.pairs:
        raise SfmError(f"{matches.path} holds no matches of images in {features.path}; match these features first")
    if not summary.matches:
        raise SfmError(f"{matches.path} holds no match at all; give images that overlap")
    return summary


def _of_one_size(features: KeypointsReader, names: list[str]) -> Iterator[list[str]]:
    """The images of each size: COLMAP leaves out those whose size is not that of the first with the same camera."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name in names:
        groups.setdefault(features.image_size(name), []).append(name)
    yield from groups.values()


def _importable(features: KeypointsReader, images: Path, summary: ImportSummary) -> list[str]:
    """Names that have both features and a file; the others are reported."""
    files = {image.name for image in find_images(images)}
    stored = set(features.names())
    for name in sorted(files - stored):
        summary.problems.append(f"{name} is not in {features.path}; it was left out")
    for name in sorted(stored - files):
        summary.problems.append(f"{name} is in {features.path} but not in {images}; it was left out")
    both = sorted(files & stored)
    if not both:
        raise SfmError(f"{features.path} and {images} have no image name in common; give the folder it was made from")
    return both


def _write_keypoints(
    database: Any, features: KeypointsReader, names: list[str], summary: ImportSummary
) -> dict[str, tuple[int, int]]:
    """Write each image's keypoints; by name, COLMAP's number of the image and its count of keypoints."""
    ids = {image.name: image for image in database.read_all_images()}
    written = {}
    for name in names:
        if name not in ids:
            summary.problems.append(
                f"{name}: COLMAP cannot read it, or its size differs from that of the camera it shares"
            )
            continue
        try:
            found = features.load(name)
        except StoreError as error:
            summary.problems.append(str(error))
            continue
        camera = database.read_camera(ids[name].camera_id)
        if found.image_size != (0, 0) and found.image_size != (camera.width, camera.height):
            summary.problems.append(
                f"{name} is {camera.width}x{camera.height}, but its features are of a "
                f"{found.image_size[0]}x{found.image_size[1]} image; extract again"
            )
            continue
        if len(found) == 0:
            summary.problems.append(f"{name} has no keypoints; it cannot be reconstructed")
        database.write_keypoints(ids[name].image_id, np.asarray(to_colmap(found.keypoints), np.float32))
        written[name] = (ids[name].image_id, len(found))
        summary.keypoints += len(found)
    return written


def _write_matches(
    database: Any,
    matches: MatchesReader,
    counts: dict[str, tuple[int, int]],
    features: KeypointsReader,
    summary: ImportSummary,
) -> None:
    resolved = resolve(matches.names(), counts)
    summary.problems += [f"the pair {entry!r} is of images that were not imported" for entry in resolved.unknown]
    summary.problems += resolved.ambiguous.values()
    for name0, name1 in resolved.pairs.values():
        try:
            found = matches.load(name0, name1)
        except StoreError as error:
            summary.problems.append(str(error))
            continue
        assert isinstance(found, Matches)
        (id0, count0), (id1, count1) = counts[name0], counts[name1]
        if len(found) and (found.indices.max(axis=0) >= (count0, count1)).any():
            summary.problems.append(
                f"{matches.path}: {name0} {name1} refers to keypoints that {features.path} does not hold; "
                "match these features again"
            )
            continue
        if len(found):
            database.write_matches(id0, id1, found.indices.astype(np.uint32))
        summary.pairs += 1
        summary.matches += len(found)
