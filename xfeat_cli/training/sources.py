"""Where real pairs come from: COLMAP models, and matches that any tool found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.pose import consistent
from xfeat_cli.images import ImageFile
from xfeat_cli.pairing.models import covisible_pairs
from xfeat_cli.sfm.tracks import View, read_views
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import FloatArray, Matches

MIN_SHARED = 30
"""Least points that two photographs must both show to be learned from."""

_MODEL_FILES = ("cameras.bin", "cameras.txt")

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Photographs, some pairs of which show the same points.

    files: the photographs. sizes: (width, height) of each as it is stored, (0, 0) where unknown. pairs: (P, 2) indices
    of photographs that have at least MIN_SHARED points in common. scenes: (P,) what each pair shows; points of
    different pairs of one scene may be the same. points: two such indices → (M, 4) x, y in the one and x, y in the
    other, pixels of the stored images. described: for people.
    """

    files: Sequence[ImageFile]
    sizes: Sequence[tuple[int, int]]
    pairs: IndexArray
    scenes: IndexArray
    points: Callable[[int, int], FloatArray]
    described: str


def model_sources(path: Path, images: Path) -> list[Source]:
    """Return sources of a COLMAP model, or of all models below a folder.

    Photographs of a model at SCENE/… below the folder are in `images`/SCENE if there is such a folder, else in
    `images`.
    Raises SfmError as `read_views` does, UsageError if there is no model.
    """
    if not path.is_dir() or _is_model(path):
        return [model_source(read_views(path), images, str(path))]
    folders = sorted(folder for folder in path.rglob("*") if folder.is_dir() and _is_model(folder))
    if not folders:
        raise UsageError(f"{path}: neither a COLMAP model nor a folder of some")
    sources = []
    for folder in folders:
        own = images / folder.relative_to(path).parts[0]
        sources.append(model_source(read_views(folder), own if own.is_dir() else images, str(folder)))
    return sources


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _MODEL_FILES)


def model_source(views: Sequence[View], images: Path, described: str) -> Source:
    """Return the views of a model, whose photographs are in the folder `images`."""
    pairs = covisible_pairs([view.ids for view in views], MIN_SHARED)

    def points(one: int, two: int) -> FloatArray:
        _, first, second = np.intersect1d(views[one].ids, views[two].ids, assume_unique=True, return_indices=True)
        return np.column_stack([views[one].points[first], views[two].points[second]])

    files = [ImageFile(str(images / view.name), images / view.name) for view in views]
    return Source(files, [view.size for view in views], pairs, np.zeros(len(pairs), np.int64), points, described)


def match_source(features: Path, matches: Path, images: Path, report: Callable[[str], None]) -> Source:
    """Return matches of any tool, in hloc's layout, that agree on a fundamental matrix; photographs in the folder
    `images`.

    Raises StoreError, and UsageError without poselib, which checks them, or for semi-dense matches.
    """
    with KeypointsReader(features) as keypoints, MatchesReader(matches) as reader:
        if reader.kind != "matches":
            raise UsageError(
                f"{matches}: semi-dense matches; give sparse ones, which say where a keypoint lies in both"
            )
        names = keypoints.names()
        index = {name: number for number, name in enumerate(names)}
        resolved = resolve(reader.names(), names)
        left_out = len(resolved.unknown) + len(resolved.ambiguous)
        if left_out:
            report(
                f"{matches}: {left_out} pairs left out, whose images {features} does not tell apart or does not hold"
            )
        agreed: dict[tuple[int, int], FloatArray] = {}
        for name0, name1 in resolved.pairs.values():
            matched = reader.load(name0, name1)
            assert isinstance(matched, Matches)
            first, second = matched.indices.T
            both = np.column_stack([keypoints.load(name0).keypoints[first], keypoints.load(name1).keypoints[second]])
            both = both[consistent(both[:, :2], both[:, 2:])]
            if len(both) >= MIN_SHARED:
                agreed[index[name0], index[name1]] = both
        sizes = [keypoints.image_size(name) for name in names]
    pairs = np.array(list(agreed), np.int64).reshape(-1, 2)
    files = [ImageFile(str(images / name), images / name) for name in names]
    return Source(files, sizes, pairs, components(pairs, len(names)), lambda one, two: agreed[one, two], str(matches))


def components(pairs: IndexArray, count: int) -> IndexArray:
    """Return which connected part of the graph of `count` images each of the pairs (P, 2) belongs to: (P,)."""
    root = np.arange(count)
    for one, two in pairs.tolist():
        root[root == root[two]] = root[one]
    return root[pairs[:, 0]] if len(pairs) else np.zeros(0, np.int64)
