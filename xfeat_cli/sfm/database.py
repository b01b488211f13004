"""Features and matches → a COLMAP database.

COLMAP numbers cameras, images, rigs and frames as they are written. No descriptors are written: COLMAP 4 types them and
knows no XFeat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.coordinates import to_colmap
from xfeat_cli.errors import SfmError, StoreError
from xfeat_cli.images import find_images
from xfeat_cli.metadata import Metadata, read_metadata
from xfeat_cli.sfm.cameras import Size, check_model, group_images, make_camera
from xfeat_cli.sfm.config import CameraConfig
from xfeat_cli.sfm.engine import pycolmap
from xfeat_cli.sfm.process import Listen
from xfeat_cli.store.layout import SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import Matches


@dataclass
class ImportSummary:
    """What went into a database.

    groups: for each camera how many images it took, their size, and why they are taken to share it.
    problems: one line for each image or pair that was left out or is of no use.
    """

    images: int = 0
    cameras: int = 0
    keypoints: int = 0
    pairs: int = 0
    matches: int = 0
    groups: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def build_database(
    features: Path,
    matches: Path,
    path: Path,
    images: Path,
    config: CameraConfig,
    listed: Collection[str] | None = None,
    *,
    listen: Listen | None = None,
) -> ImportSummary:
    """Write cameras, images, rigs, frames, keypoints (half a pixel added) and matches into a new database.

    images: the folder that image names are relative to. listed: the images that are meant; None = all in the folder.
    Images that lack features, keypoints or a readable file, and
    pairs of unknown images, are reported in the summary, and the rest goes in.
    Raises SfmError when a camera model is unknown and when nothing can be imported; StoreError for files that cannot be
    read.
    """
    check_model(config)
    with KeypointsReader(features) as keypoints, MatchesReader(matches) as pairs:
        if pairs.kind == SEMI_DENSE_MATCHES:
            raise SfmError(
                f"{matches} holds semi-dense matches; make keypoints of them first: xfeat aggregate {matches}"
            )
        if keypoints.kind == SEMI_DENSE_FEATURES:
            raise SfmError(f"{features} holds semi-dense features; give the keypoints that `xfeat aggregate` wrote")
        return _fill(path, keypoints, pairs, images, config, listed)


def _fill(
    path: Path,
    features: KeypointsReader,
    matches: MatchesReader,
    images: Path,
    config: CameraConfig,
    listed: Collection[str] | None,
) -> ImportSummary:
    engine = pycolmap()
    summary = ImportSummary()
    names = _importable(features, images, listed, summary)
    metadata = {name: read_metadata(images / name) for name in names}
    sizes = _sizes(features, metadata, summary)
    with engine.Database.open(path) as database, engine.DatabaseTransaction(database):
        ids = _write_images(database, sizes, metadata, images, config, summary)
        counts = _write_keypoints(database, features, ids, summary)
        if not counts:
            raise SfmError(f"none of {len(names)} images of {images} could be imported: {summary.problems[0]}")
        if not summary.keypoints:
            raise SfmError(f"no image in {features.path} has keypoints; extract from images that show something")
        _write_matches(database, matches, counts, features, summary)
    summary.images = len(ids)
    if not summary.pairs:
        raise SfmError(f"{matches.path} holds no matches of images in {features.path}; match these features first")
    if not summary.matches:
        raise SfmError(f"{matches.path} holds no match at all; give images that overlap")
    return summary


def _importable(
    features: KeypointsReader, images: Path, listed: Collection[str] | None, summary: ImportSummary
) -> list[str]:
    """Return names that have both features and a file; the others are reported."""
    stored = set(features.names())
    if listed is None:
        files = {image.name for image in find_images(images)}
    else:
        files = {name for name in listed if (images / name).is_file()}
    for name in sorted(files - stored):
        summary.problems.append(f"{name} is not in {features.path}; it was left out")
    for name in sorted((stored if listed is None else stored & {*listed}) - files):
        summary.problems.append(f"{name} is in {features.path} but not in {images}; it was left out")
    both = sorted(files & stored)
    if not both:
        raise SfmError(f"{features.path} and {images} have no image name in common; give the folder it was made from")
    return both


def _sizes(features: KeypointsReader, metadata: Mapping[str, Metadata], summary: ImportSummary) -> dict[str, Size]:
    """Return (width, height) of each image, by its file or, where that is not read here, by its features."""
    sizes = {}
    for name, said in metadata.items():
        try:
            extracted = features.image_size(name)
        except StoreError as error:
            summary.problems.append(str(error))
            continue
        size = said.size or extracted
        if size == (0, 0):
            summary.problems.append(f"{name}: neither the file nor its features tell its size; it was left out")
        elif extracted not in ((0, 0), size):
            summary.problems.append(
                f"{name} is {size[0]}x{size[1]}, but its features are of a {extracted[0]}x{extracted[1]} image; "
                "extract again"
            )
        else:
            sizes[name] = size
    return sizes


def _write_images(
    database: Any,
    sizes: Mapping[str, Size],
    metadata: Mapping[str, Metadata],
    images: Path,
    config: CameraConfig,
    summary: ImportSummary,
) -> dict[str, int]:
    """Write cameras, a rig of each, images and a frame of each, in the order of their names; by name, their numbers."""
    engine = pycolmap()
    cameras = {}
    for group in group_images(sizes, metadata, config):
        camera = make_camera(group, metadata, images, config)
        camera.camera_id = database.write_camera(camera)
        rig = engine.Rig()
        rig.add_ref_sensor(camera.sensor_id)
        cameras.update(dict.fromkeys(group.names, (camera.camera_id, database.write_rig(rig))))
        summary.cameras += 1
        summary.groups.append({"images": len(group.names), "size": list(group.size), "why": group.why})
    ids = {}
    for name in sorted(sizes):
        camera_id, rig_id = cameras[name]
        image = engine.Image(name=name, camera_id=camera_id)
        image.image_id = ids[name] = database.write_image(image)
        frame = engine.Frame()
        frame.rig_id = rig_id
        frame.add_data_id(image.data_id)
        database.write_frame(frame)
    return ids


def _write_keypoints(
    database: Any, features: KeypointsReader, ids: Mapping[str, int], summary: ImportSummary
) -> dict[str, tuple[int, int]]:
    """Write each image's keypoints; by name, COLMAP's number of the image and its count of keypoints."""
    written = {}
    for name, number in ids.items():
        try:
            found = features.load(name)
        except StoreError as error:
            summary.problems.append(str(error))
            continue
        if len(found) == 0:
            summary.problems.append(f"{name} has no keypoints; it cannot be reconstructed")
        database.write_keypoints(number, np.asarray(to_colmap(found.keypoints), np.float32))
        written[name] = (number, len(found))
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
