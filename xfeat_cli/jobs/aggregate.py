"""Semi-dense matches of many pairs → keypoints per image and index matches; resumable.

Two passes, neither of which holds more than one image's points and one pair: images first, then pairs.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.errors import StoreError, UsageError
from xfeat_cli.files import FileKind, check_output, warn_once
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.matching.aggregate import assign, index_matches, merge_points
from xfeat_cli.sfm.config import AggregateConfig
from xfeat_cli.store.layout import (
    KEYPOINTS,
    MATCHES,
    SEMI_DENSE_MATCHES,
    keypoints_entry,
    matches_entry,
    point_matches_entry,
)
from xfeat_cli.store.names import pair_name, resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import FloatArray, Pair, PointMatches

_CACHED_IMAGES = 64

_MOST_POINTS, _LEAST_POINT_BYTES = 4_000_000, 8
"""Points of one image that are believed of any file; beyond that, as many as its bytes can hold."""


@dataclass
class AggregateSummary(Summary):
    """What aggregation kept. The counts are over all pairs, those of earlier runs included.

    keypoints: of all images. point_matches: what there was; kept_matches: what became matches of keypoints.
    displacement_px: mean distance between the ends of kept matches and their keypoints.
    """

    keypoints_file: str = ""
    keypoints: int = 0
    point_matches: int = 0
    kept_matches: int = 0
    displacement_px: float = 0.0

    @property
    def kept_share(self) -> float:
        return self.kept_matches / self.point_matches if self.point_matches else 0.0


def aggregate(
    matches: str | Path,
    features: str | Path = "out.h5",
    keypoints: str | Path = "keypoints.h5",
    output: str | Path = "aggregated.h5",
    config: AggregateConfig | None = None,
    *,
    overwrite: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> AggregateSummary:
    """Give each image one set of keypoints that all its semi-dense pairs share.

    Pairs whose images `features` does not name are reported and skipped. A run that was interrupted goes on where it
    stopped.

    Args:
        matches: what `match` made of `features`, semi-dense.
        features: the semi-dense features file.
        keypoints: the file to write, with `keypoints`, `scores` and `image_size` of each image.
        output: the matches file to write, with `matches0` and `matching_scores0` beside each pair's points.
        config: how points become keypoints.
        overwrite: start again; without it files of other options or matches are refused.
        listener: told of each pair.
        **options: fields of `AggregateConfig`, in place of those of `config`.

    Returns:
        What was done, and how far matches moved.

    Raises:
        UsageError: the matches are no semi-dense ones, or two files have one name.
        StoreError: a file cannot be read or written.
    """
    started = time.monotonic()
    config = replace(config or AggregateConfig(), **options)
    matches, features, keypoints, output = map(Path, (matches, features, keypoints, output))
    if not config.radius > 0:
        raise UsageError(f"radius is {config.radius}; it must be more than 0 px")
    inputs = [matches, features]
    for path, others in ((keypoints, inputs), (output, [*inputs, keypoints])):  # before hours of work on the first
        check_output(path, FileKind.HDF5, others)
    summary = AggregateSummary(str(output), keypoints_file=str(keypoints), device="cpu", precision="fp64")
    tally = Tally(summary, listener)
    with MatchesReader(matches) as pairs, KeypointsReader(features) as images:
        if pairs.kind != SEMI_DENSE_MATCHES:
            raise UsageError(f"{matches} holds {pairs.kind}, which need no aggregation; give it to `xfeat colmap`")
        resolved = resolve(pairs.names(), images.names())
        if not resolved.pairs:
            raise StoreError(f"{matches} holds no pair of images in {features}; give the features it was made from")
        provenance: dict[str, str | int | float] = {"matches": fingerprint.of_content(pairs), "radius": config.radius}
        tally.start(len(resolved.pairs) + len(resolved.unknown) + len(resolved.ambiguous))
        for entry in resolved.unknown:
            tally.add(Report(entry, Status.FAILED, error=f"{entry!r}: its images are not in {features}"))
        for entry, problem in resolved.ambiguous.items():
            tally.add(Report(entry, Status.FAILED, error=problem))
        with Store.open(keypoints, KEYPOINTS, provenance, overwrite=overwrite, inputs=inputs) as store:
            sound = _within_measure(resolved.pairs, pairs, tally)
            _write_keypoints(store, list(sound.values()), pairs, images, config.radius)
            store.finish()
        with (
            KeypointsReader(keypoints) as merged,
            Store.open(output, MATCHES, provenance, overwrite=overwrite, inputs=[*inputs, keypoints]) as store,
        ):
            _write_matches(store, sound, pairs, merged, config.radius, tally, summary)
            store.finish()
    summary.seconds = time.monotonic() - started
    return summary


def _write_keypoints(
    store: Store, pairs: list[Pair], matches: MatchesReader, images: KeypointsReader, radius: float
) -> None:
    partners: dict[str, list[str]] = {name: [] for name in images.names()}
    for name0, name1 in pairs:
        partners[name0].append(name1)
        partners[name1].append(name0)
    for name, others in partners.items():
        if name in store:
            continue
        loaded = [found for other in others if isinstance(found := _points(matches, name, other), PointMatches)]
        points = np.concatenate([np.zeros((0, 2), np.float32), *(found.points0 for found in loaded)])
        scores = np.concatenate([np.zeros(0, np.float32), *(found.scores for found in loaded)])
        merged = merge_points(points, scores, radius)
        size = _size(images, name)
        attributes = {key: value for key, value in images.entry_attributes(name).items() if key == "image_digest"}
        uncertainty = images.uncertainty(name)
        stated = {} if uncertainty is None else {"keypoints": {"uncertainty": uncertainty}}
        store.put(name, keypoints_entry(merged.keypoints, merged.scores, size), attributes, stated)


def _write_matches(
    store: Store,
    pairs: dict[str, Pair],
    matches: MatchesReader,
    merged: KeypointsReader,
    radius: float,
    tally: Tally,
    summary: AggregateSummary,
) -> None:
    @lru_cache(_CACHED_IMAGES)
    def keypoints(name: str) -> FloatArray:
        return merged.load(name).keypoints

    summary.keypoints = sum(len(merged.load(name)) for name in merged.names())
    moved = 0.0
    for pair in pairs.values():
        entry = pair_name(*pair)
        if entry in store:
            status = Status.SKIPPED
        else:
            points = _points(matches, *pair)
            if isinstance(points, StoreError):
                tally.add(Report(" ".join(pair), Status.FAILED, error=str(points)))
                continue
            _put_pair(store, entry, points, keypoints(pair[0]), keypoints(pair[1]), radius)
            status = Status.OK
        about = store.attributes(entry)
        summary.point_matches += about["point_matches"]
        summary.kept_matches += about["kept_matches"]
        moved += about["kept_matches"] * about["displacement_px"]
        details = {"image0": pair[0], "image1": pair[1]}
        tally.add(Report(" ".join(pair), status, about["kept_matches"], details=details))
    summary.displacement_px = moved / max(summary.kept_matches, 1)


def _put_pair(
    store: Store, entry: str, points: PointMatches, keypoints0: FloatArray, keypoints1: FloatArray, radius: float
) -> None:
    index0, index1 = assign(keypoints0, points.points0, radius), assign(keypoints1, points.points1, radius)
    found, kept = index_matches(index0, index1, points.scores)
    moves = [points.points0[kept] - keypoints0[index0[kept]], points.points1[kept] - keypoints1[index1[kept]]]
    store.put(
        entry,
        {**point_matches_entry(points), **matches_entry(found, len(keypoints0))},
        {
            "point_matches": len(points),
            "kept_matches": len(found),
            "displacement_px": float(np.linalg.norm(np.concatenate(moves), axis=1).mean()) if len(found) else 0.0,
        },
    )


def _size(images: KeypointsReader, name: str) -> tuple[int, int]:
    """Return the size of an image; it is unknown where its entry is damaged."""
    try:
        return images.image_size(name)
    except StoreError as error:
        warn_once(str(error))
        return 0, 0


def _within_measure(pairs: dict[str, Pair], matches: MatchesReader, tally: Tally) -> dict[str, Pair]:
    """Return the pairs without those whose points would make more in one image than the file's size warrants."""
    most = max(_MOST_POINTS, matches.path.stat().st_size // _LEAST_POINT_BYTES)
    points: Counter[str] = Counter()
    sound = {}
    for entry, pair in pairs.items():
        try:
            count = matches.row_count(*pair)
        except StoreError as error:
            tally.add(Report(" ".join(pair), Status.FAILED, error=f"{matches.path}: {entry!r}: {error}"))
            continue
        if max(points[name] for name in pair) + count > most:
            error_line = f"{matches.path}: {entry!r} would give an image more than {most:,} points; match again"
            tally.add(Report(" ".join(pair), Status.FAILED, error=error_line))
            continue
        points.update(dict.fromkeys(pair, count))
        sound[entry] = pair
    return sound


def _points(matches: MatchesReader, name0: str, name1: str) -> PointMatches | StoreError:
    """Return the points of a pair, or what is wrong with its entry."""
    try:
        found = matches.load(name0, name1)
    except StoreError as error:
        return error
    assert isinstance(found, PointMatches)
    return found
