"""The HDF5 layout: kinds of files and what an entry holds.

An entry is a group that directly holds datasets: an image's features, or a pair's matches. hloc reads these files
unmodified. It takes every dataset's parent for an image and every dataset in there for a tensor, so all else (options,
weights, fingerprints) goes into attributes, of the root or of an entry.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import h5py
import numpy as np

from xfeat_cli.store.values import groups
from xfeat_cli.types import Features, Links, Matches, PointMatches

FORMAT_VERSION = 1
FEATURES = "features"
SEMI_DENSE_FEATURES = "semi-dense features"
KEYPOINTS = "keypoints"
"""Keypoints without descriptors, shared by many pairs: what aggregation makes."""
MATCHES = "matches"
SEMI_DENSE_MATCHES = "semi-dense matches"
LINKS = "links"
"""What registration says of the matches of each pair: what refinement starts from."""

REQUIRED_DATASETS = {
    FEATURES: ("keypoints", "descriptors"),
    SEMI_DENSE_FEATURES: ("keypoints", "descriptors", "scales"),
    KEYPOINTS: ("keypoints",),
    MATCHES: ("matches0", "matching_scores0"),
    SEMI_DENSE_MATCHES: ("keypoints0", "keypoints1", "scores"),
    LINKS: ("indices", "affines", "shifts", "information"),
}
"""What an entry must hold to be complete. hloc's own files may hold no more than this."""

Attribute = str | int | float


IMAGES_ATTRIBUTE = "xfeat_images"
"""Root attribute of a features file: the folder that its images' names are relative to."""

NOT_COMPARED = ("xfeat_version", IMAGES_ATTRIBUTE)
"""Root attributes that do not decide what the entries hold."""


def partial_path(path: Path) -> Path:
    """Return where `path`, or what it links to, is written until the job that writes it has finished."""
    target = Path(os.path.realpath(path))
    return target.with_name(target.name + ".partial")


def features_entry(features: Features, *, half: bool = True) -> dict[str, np.ndarray]:
    """Return datasets of an image.

    keypoints (N, 2) float32, descriptors (D, N) float16 (float32 unless `half`), scores (N,) float32,
    image_size (2,) int32 width and height, and scales (N,) float32 when semi-dense.
    """
    datasets = {
        **keypoints_entry(features.keypoints, features.scores, features.image_size),
        "descriptors": np.ascontiguousarray(features.descriptors.T, np.float16 if half else np.float32),
    }
    if features.scales is not None:
        datasets["scales"] = np.asarray(features.scales, np.float32)
    return datasets


def keypoints_entry(keypoints: np.ndarray, scores: np.ndarray, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return datasets of an image without descriptors; as `features_entry`."""
    return {
        "keypoints": np.asarray(keypoints, np.float32),
        "scores": np.asarray(scores, np.float32),
        "image_size": np.asarray(image_size, np.int32),
    }


def matches_entry(matches: Matches, count0: int) -> dict[str, np.ndarray]:
    """Return datasets of a pair: matches0 (count0,) int32, −1 = unmatched, and matching_scores0 (count0,) float16.

    count0: number of keypoints of image 0.
    """
    matches0 = np.full(count0, -1, np.int32)
    scores0 = np.zeros(count0, np.float16)
    matches0[matches.indices[:, 0]] = matches.indices[:, 1]
    scores0[matches.indices[:, 0]] = matches.scores
    return {"matches0": matches0, "matching_scores0": scores0}


def point_matches_entry(matches: PointMatches) -> dict[str, np.ndarray]:
    """Return datasets of a semi-dense pair: keypoints0, keypoints1 (M, 2) float32 pixels and scores (M,) float32."""
    return {
        "keypoints0": np.asarray(matches.points0, np.float32),
        "keypoints1": np.asarray(matches.points1, np.float32),
        "scores": np.asarray(matches.scores, np.float32),
    }


def links_entry(links: Links) -> dict[str, np.ndarray]:
    """Return datasets of a registered pair: indices (M, 2) int32, affines (M, 4) float16, shifts (M, 2) and information
    (M, 3) float32.
    """
    return {
        "indices": np.asarray(links.indices, np.int32),
        "affines": links.affines.reshape(-1, 4).astype(np.float16),
        "shifts": np.asarray(links.shifts, np.float32),
        "information": np.asarray(links.information, np.float32),
    }


def entries(h5: h5py.File) -> dict[str, tuple[str, ...]]:
    """Return every group that directly holds datasets, with their names; as `groups`."""
    return {group: keys for group, keys in groups(h5).items() if keys}


def guess_kind(found: Mapping[str, Iterable[str]]) -> str:
    """Return kind of a file that does not say: what most of its entries hold, or "unknown content"."""
    for kind in (SEMI_DENSE_FEATURES, FEATURES, SEMI_DENSE_MATCHES, MATCHES, KEYPOINTS):
        complete = sum({*REQUIRED_DATASETS[kind]}.issubset(keys) for keys in found.values())
        if 2 * complete > len(found):
            return kind
    return "unknown content"
