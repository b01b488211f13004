"""Every kind of file that the commands write, read by an independent reader of hloc's rules."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest

from xfeat_cli.config import Mode
from xfeat_cli.demo import DemoScene

from .. import hloc_reader

SIZE = [320, 240]


@pytest.fixture
def names(scene: DemoScene) -> list[str]:
    return sorted(scene.cameras)


def _check_index_matches(path: Path, features: Path, names: list[str]) -> int:
    total = 0
    for name0, name1 in combinations(names, 2):
        found, scores = hloc_reader.matches(path, name0, name1)
        for column, name in enumerate((name0, name1)):
            assert found[:, column].max(initial=-1) < len(hloc_reader.keypoints(features, name)[0])
            assert len(np.unique(found[:, column])) == len(found)
        assert (scores > 0).all()
        assert (scores <= 1).all()
        other, _ = hloc_reader.matches(path, name1, name0)
        assert set(map(tuple, other[:, ::-1])) == set(map(tuple, found))
        total += len(found)
    return total


def test_sparse(reconstructed: dict[Mode, Path], names: list[str]) -> None:
    folder = reconstructed[Mode.SPARSE]
    assert hloc_reader.image_names(folder / "features.h5") == set(names)
    for name in names:
        tensors = hloc_reader.tensors(folder / "features.h5", name)
        assert set(tensors) == {"keypoints", "descriptors", "scores", "image_size"}
        points, uncertainty = hloc_reader.keypoints(folder / "features.h5", name)
        assert uncertainty is not None
        assert 0 < uncertainty < 5
        assert tensors["descriptors"].shape == (64, len(points))
        assert tensors["descriptors"].dtype == np.float16
        np.testing.assert_allclose(np.linalg.norm(tensors["descriptors"].astype(np.float32), axis=0), 1, atol=2e-3)
        assert (np.diff(tensors["scores"]) <= 0).all()
        assert tensors["image_size"].tolist() == SIZE
        assert ((points >= -0.5) & (points <= np.array(SIZE) - 0.5)).all()
    assert hloc_reader.image_names(folder / "matches.h5") == {f"{a}/{b}" for a, b in combinations(names, 2)}
    assert _check_index_matches(folder / "matches.h5", folder / "features.h5", names) > 500


def test_semi_dense(reconstructed: dict[Mode, Path], names: list[str]) -> None:
    folder = reconstructed[Mode.SEMI_DENSE]
    assert hloc_reader.image_names(folder / "features.h5") == set(names)
    for name in names:
        tensors = hloc_reader.tensors(folder / "features.h5", name)
        assert set(tensors) == {"keypoints", "descriptors", "scores", "image_size", "scales"}
    for name0, name1 in combinations(names, 2):
        points0, points1, scores = hloc_reader.point_matches(folder / "matches.h5", name0, name1)
        for points in (points0, points1):
            assert ((points >= -0.5) & (points <= np.array(SIZE) - 0.5)).all()
        assert ((scores >= 0) & (scores <= 1)).all()


def test_aggregated(reconstructed: dict[Mode, Path], names: list[str]) -> None:
    folder = reconstructed[Mode.SEMI_DENSE]
    assert hloc_reader.image_names(folder / "keypoints.h5") == set(names)
    for name in names:
        tensors = hloc_reader.tensors(folder / "keypoints.h5", name)
        assert set(tensors) == {"keypoints", "scores", "image_size"}
        points, uncertainty = hloc_reader.keypoints(folder / "keypoints.h5", name)
        assert uncertainty == hloc_reader.keypoints(folder / "features.h5", name)[1]
        assert len(points) == len(tensors["scores"])
        assert (np.diff(tensors["scores"]) <= 0).all()
    assert _check_index_matches(folder / "aggregated.h5", folder / "keypoints.h5", names) > 500
    for name0, name1 in combinations(names, 2):
        points0, points1, _ = hloc_reader.point_matches(folder / "aggregated.h5", name0, name1)
        before = hloc_reader.point_matches(folder / "matches.h5", name0, name1)
        np.testing.assert_array_equal(points0, before[0])
        np.testing.assert_array_equal(points1, before[1])


def test_provenance_stands_in_attributes(reconstructed: dict[Mode, Path]) -> None:
    for mode, files in ((Mode.SPARSE, ("features", "matches")), (Mode.SEMI_DENSE, ("keypoints", "aggregated"))):
        for file in files:
            with h5py.File(reconstructed[mode] / f"{file}.h5", "r") as opened:
                assert all(isinstance(item, h5py.Group) for item in opened.values())
                assert "xfeat_kind" in opened.attrs
                assert "xfeat_version" in opened.attrs
