"""Aggregation of a collection whose tracks are known."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest

from xfeat_cli.errors import ProvenanceError, StoreError, UsageError
from xfeat_cli.jobs.aggregate import aggregate
from xfeat_cli.store.layout import SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES, features_entry, point_matches_entry
from xfeat_cli.store.names import pair_name
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, PointMatches

NAMES = ("a/1.jpg", "b/2.jpg", "c 3.jpg", "alone.jpg")
TRACKS = 200


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three images that see the same points at different places, matched with 0.2 px of noise; one image unmatched."""
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(10)), -1).reshape(-1, 2) * 12.0 + 8
    seen = {name: grid + shift for name, shift in zip(NAMES[:3], ([0, 0], [5, 3], [-4, 2]), strict=True)}
    with Store.open(tmp_path / "dense.h5", SEMI_DENSE_FEATURES, {}) as store:
        for name in NAMES:
            empty = np.zeros(0, np.float32)
            features = Features(empty.reshape(0, 2), empty, empty.reshape(0, 64), (300, 200), empty)
            store.put(name, features_entry(features), {"image_digest": name})
        store.finish()
    with Store.open(tmp_path / "matches.h5", SEMI_DENSE_MATCHES, {"min_confidence": 0.25}) as store:
        for one, two in combinations(NAMES[:3], 2):
            noisy = [(seen[name] + rng.normal(scale=0.2, size=grid.shape)).astype(np.float32) for name in (one, two)]
            points = PointMatches(*noisy, rng.uniform(0.3, 1, TRACKS).astype(np.float32))
            store.put(pair_name(one, two), point_matches_entry(points))
        store.finish()
    return tmp_path


def _run(files: Path, **options: object):  # type: ignore[no-untyped-def]
    options = {"radius": 2.0, **options}
    return aggregate(
        files / "matches.h5", files / "dense.h5", files / "keypoints.h5", files / "aggregated.h5", **options
    )


def test_each_track_becomes_one_keypoint_per_image(files: Path) -> None:
    summary = _run(files)
    assert (summary.done, summary.keypoints, summary.point_matches) == (3, 3 * TRACKS, 3 * TRACKS)
    assert summary.kept_share == 1
    assert 0.1 < summary.displacement_px < 0.3
    with h5py.File(files / "keypoints.h5") as keypoints, h5py.File(files / "aggregated.h5") as matches:
        assert keypoints["alone.jpg"]["keypoints"].shape == (0, 2)
        at = {name: keypoints[name]["keypoints"][()] for name in NAMES[:3]}
        assert at[NAMES[0]].dtype == np.float32
        for (one, two), shift in zip(combinations(NAMES[:3], 2), ([5, 3], [-4, 2], [-9, -1]), strict=True):
            entry = matches[f"{one.replace('/', '-')}/{two.replace('/', '-')}"]
            assert {"keypoints0", "keypoints1", "matches0", "matching_scores0"} <= set(entry)
            matches0 = entry["matches0"][()]
            assert matches0.dtype == np.int32
            assert len(matches0) == len(at[one])
            assert np.array_equal(np.sort(matches0), np.arange(TRACKS))
            np.testing.assert_allclose((at[two][matches0] - at[one]).mean(0), shift, atol=0.05)


def test_a_second_run_reuses_what_is_there_and_states_the_same_loss(files: Path) -> None:
    first = _run(files)
    second = _run(files)
    assert (second.done, second.skipped) == (0, 3)
    assert (second.kept_matches, second.displacement_px) == (first.kept_matches, first.displacement_px)


def test_another_radius_is_refused_unless_overwritten(files: Path) -> None:
    _run(files)
    with pytest.raises(ProvenanceError, match=r"radius 2\.0, now 0\.1"):
        _run(files, radius=0.1)
    assert _run(files, radius=0.1, overwrite=True).keypoints > 3 * TRACKS


def test_pairs_of_unknown_images_are_reported_and_the_rest_goes_on(files: Path) -> None:
    with h5py.File(files / "dense.h5", "a") as file:
        del file["c 3.jpg"]
    summary = _run(files)
    assert (summary.done, len(summary.failures)) == (1, 2)
    assert "are not in" in summary.failures[0][1]


def test_impossible_inputs_are_one_clear_error(files: Path) -> None:
    with pytest.raises(UsageError, match="more than 0"):
        _run(files, radius=0.0)
    for names in (("dense.h5", "out.h5"), ("k.h5", "matches.h5"), ("k.h5", "k.h5")):
        with pytest.raises(UsageError, match="is an input of this command"):
            aggregate(files / "matches.h5", files / "dense.h5", *(files / name for name in names), overwrite=True)
    _run(files)
    with pytest.raises(UsageError, match="need no aggregation"):
        aggregate(files / "aggregated.h5", files / "dense.h5", files / "k.h5", files / "o.h5")
    with pytest.raises(StoreError, match="does not exist"):
        aggregate(files / "none.h5", files / "dense.h5", files / "k.h5", files / "o.h5")
