"""A COLMAP model and database as plain arrays, against what pycolmap says of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.config import Mode
from xfeat_cli.errors import SfmError
from xfeat_cli.sfm.model import is_model, read_sparse_model
from xfeat_cli.sfm.reconstruction import read_model
from xfeat_cli.sfm.verified import open_verified
from xfeat_cli.store.reader import KeypointsReader, MatchesReader


def test_residuals_are_those_that_colmap_states(reconstructed: dict[Mode, Path]) -> None:
    folder = reconstructed[Mode.SPARSE] / "sparse" / "0"
    model, truth = read_sparse_model(folder), read_model(folder)
    truth.update_point_3d_errors()
    assert [image.name for image in model.images] == sorted(image.name for image in truth.images.values())
    errors = np.concatenate([image.errors for image in model.images])
    tracks = np.concatenate([image.tracks for image in model.images])
    by_point = np.bincount(tracks, errors) / np.bincount(tracks)
    expected = [truth.points3D[number].error for number in sorted(truth.points3D)]
    assert by_point == pytest.approx(expected, abs=1e-3)
    assert model.track_lengths.tolist() == np.bincount(tracks).tolist()


def test_poses_and_observations(reconstructed: dict[Mode, Path]) -> None:
    folder = reconstructed[Mode.SPARSE] / "sparse" / "0"
    model, truth = read_sparse_model(folder), read_model(folder)
    image = model.images[0]
    expected = next(other for other in truth.images.values() if other.name == image.name)
    assert image.centre == pytest.approx(expected.projection_center())
    first = expected.get_observation_points2D()[0]
    assert image.points[0] == pytest.approx(first.xy - 0.5, abs=1e-4)
    assert model.points[image.tracks[0]] == pytest.approx(truth.points3D[first.point3D_id].xyz)
    camera = model.cameras[image.camera]
    assert camera.focal_px == pytest.approx(truth.cameras[image.camera].mean_focal_length())
    assert set(camera.parameters) == {"fx", "fy", "cx", "cy"}


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert not is_model(tmp_path)
    with pytest.raises(SfmError, match="holds no COLMAP model"):
        read_sparse_model(tmp_path)


def test_pairs_of_a_database(reconstructed: dict[Mode, Path]) -> None:
    output = reconstructed[Mode.SPARSE]
    with open_verified(output / "database.db") as verified, MatchesReader(output / "matches.h5") as matches:
        table = verified.table()
        assert table.names == sorted(table.names)
        assert len(table.images) == 6
        with KeypointsReader(output / "features.h5") as features:
            assert table.keypoints.tolist() == [features.count(name) for name in table.names]
            for (row0, row1), count, inliers in zip(table.images, table.matches, table.inliers, strict=True):
                name0, name1 = table.names[row0], table.names[row1]
                found = matches.load(name0, name1)
                assert len(found) == count
                points = verified.points(name0, name1)
                assert points is not None
                assert points.inlier.sum() == inliers
                assert points.points0 == pytest.approx(features.load(name0).keypoints[found.indices[:, 0]], abs=1e-3)
                turned = verified.points(name1, name0)
                assert turned is not None
                assert (turned.points0 == points.points1).all()
        assert verified.points("no", "image") is None


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_bytes(b"garbage" * 99)
    for name in ("garbage.db", "missing.db"):
        with pytest.raises(SfmError, match=name), open_verified(tmp_path / name) as verified:
            verified.table()
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("content", [b"", b"short", b"garbage" * 99, b"\x01" + b"\0" * 7 + b"\xff" * 200])
def test_files_that_claim_too_much_are_refused_at_once(
    reconstructed: dict[Mode, Path], tmp_path: Path, name: str, content: bytes
) -> None:
    shutil.copytree(reconstructed[Mode.SPARSE] / "sparse" / "0", tmp_path / "model")
    read_sparse_model(tmp_path / "model")
    (tmp_path / "model" / f"{name}.bin").write_bytes(content)
    with pytest.raises(SfmError, match=r"damaged|cannot be read"):
        read_sparse_model(tmp_path / "model")
