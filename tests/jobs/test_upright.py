"""Photographs stored on their side: the network sees them upright, and all results are of the stored image."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

from xfeat_cli import ExtractConfig, Features, PointMatches, XFeat, extract
from xfeat_cli.coordinates import from_upright, stored_pixels, to_upright
from xfeat_cli.errors import ProvenanceError
from xfeat_cli.images import find_images, read_photo
from xfeat_cli.store.reader import FeaturesReader

ORIENTATIONS = range(1, 9)


def save_turned(upright: np.ndarray, path: Path, orientation: int) -> None:
    """Store an upright image as a camera held otherwise does."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored_pixels(upright, orientation))).save(path, exif=exif)


@pytest.fixture(scope="module")
def folder(photograph: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One view, 239 × 175, in all orientations: no side is a multiple of anything."""
    folder = tmp_path_factory.mktemp("upright")
    for orientation in ORIENTATIONS:
        save_turned(photograph[:175, :239], folder / f"{orientation}.png", orientation)
    return folder


@pytest.fixture(scope="module")
def sparse() -> XFeat:
    return XFeat(device="cpu")


@pytest.fixture(scope="module")
def semi_dense() -> XFeat:
    return XFeat(mode="semi-dense", device="cpu")


def _detect(xfeat: XFeat, folder: Path, orientation: int) -> Features:
    (image,) = find_images(folder, [f"{orientation}.png"])
    return xfeat.detect_photos([read_photo(image, 0)])[0]


@pytest.mark.parametrize("mode", ["sparse", "semi-dense"])
@pytest.mark.parametrize("resize", [0, 120])
def test_all_orientations_give_the_same_features_in_their_own_frames(
    folder: Path, tmp_path: Path, mode: str, resize: int
) -> None:
    extract(folder, tmp_path / "out.h5", mode=mode, resize=resize, device="cpu")
    with FeaturesReader(tmp_path / "out.h5") as reader:
        expected = reader.load("1.png")
        assert len(expected) > 100
        for orientation in ORIENTATIONS:
            features = reader.load(f"{orientation}.png")
            assert features.orientation == orientation
            assert features.image_size == ((239, 175) if orientation < 5 else (175, 239))
            np.testing.assert_array_equal(features.descriptors, expected.descriptors)
            np.testing.assert_array_equal(features.scores, expected.scores)
            points = to_upright(*features.keypoints.T, features.image_size, orientation)
            np.testing.assert_allclose(np.stack(points, 1), expected.keypoints, atol=1e-4)


def test_the_reference_decoding_sees_images_upright_too(folder: Path) -> None:
    xfeat = XFeat(decoding="reference", device="cpu")
    upright, side = _detect(xfeat, folder, 1), _detect(xfeat, folder, 6)
    points = to_upright(*side.keypoints.T, side.image_size, 6)
    np.testing.assert_allclose(np.stack(points, 1), upright.keypoints, atol=1e-4)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_refined_points_move_in_the_stored_frame(semi_dense: XFeat, folder: Path, orientation: int) -> None:
    upright, turned = (_detect(semi_dense, folder, number) for number in (1, orientation))
    expected, matches = semi_dense.match(upright, upright), semi_dense.match(upright, turned)
    assert isinstance(expected, PointMatches)
    assert isinstance(matches, PointMatches)
    assert len(matches) == len(expected) > 100
    np.testing.assert_allclose(matches.points0, expected.points0, atol=1e-4)
    points = to_upright(*matches.points1.T, turned.image_size, orientation)
    np.testing.assert_allclose(np.stack(points, 1), expected.points1, atol=1e-3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_masks_are_of_the_stored_image(sparse: XFeat, folder: Path, tmp_path: Path, orientation: int) -> None:
    name = f"{orientation}.png"
    (image,) = find_images(folder, [name])
    width, height = (239, 175) if orientation < 5 else (175, 239)
    mask = np.full((height, width), 255, np.uint8)
    mask[: height // 2, : width // 2] = 0
    cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
    plain = _detect(sparse, folder, orientation)
    (masked,) = sparse.detect_photos([read_photo(image, 0, tmp_path)])
    x, y = np.rint(plain.keypoints).T
    is_shown = (x >= width // 2) | (y >= height // 2)
    assert 50 < is_shown.sum() < len(plain) - 50
    assert {*map(tuple, masked.keypoints)} <= {*map(tuple, plain.keypoints[is_shown])}
    assert len(masked) >= is_shown.sum() - 3  # those whose peak lay on the black and its centroid beside it


def test_a_jpeg_reduced_by_its_decoder(sparse: XFeat, photograph: np.ndarray, tmp_path: Path) -> None:
    """239 × 175 at half size shows 238 × 174, counted from the first pixel of the stored image."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photograph[:175, :239]).save(tmp_path / "side.jpg", quality=95, exif=exif)
    (image,) = find_images(tmp_path)
    photo, as_stored = read_photo(image, 119), read_photo(image, 119, upright=False)
    assert (photo.size, photo.shown, photo.orientation) == ((239, 175), (238, 174), 6)
    assert (as_stored.size, as_stored.shown, as_stored.orientation) == ((239, 175), (238, 174), 1)
    np.testing.assert_array_equal(photo.gray, np.rot90(as_stored.gray, -1))
    (features,) = sparse.detect_photos([photo])
    (turned_back,) = sparse.detect([np.ascontiguousarray(photo.gray)])
    x, y = ((side + 0.5) * 2 - 0.5 for side in turned_back.keypoints.T)
    expected = np.stack(from_upright(x, y, (238, 174), 6), 1)
    np.testing.assert_allclose(features.keypoints, expected, atol=1e-4)


def test_as_stored_on_request_and_never_mixed(folder: Path, tmp_path: Path) -> None:
    extract(folder, tmp_path / "out.h5", upright=False, top_k=50, device="cpu", image_list=["1.png", "6.png"])
    with FeaturesReader(tmp_path / "out.h5") as reader:
        assert [reader.load(name).orientation for name in ("1.png", "6.png")] == [1, 1]
        assert reader.attributes["xfeat_upright"] == "no"
    with pytest.raises(ProvenanceError, match="upright no, now yes"):
        extract(folder, tmp_path / "out.h5", ExtractConfig(top_k=50, device="cpu"), image_list=["1.png"])


@pytest.mark.parametrize("nonsense", [0, 9, "six", 6.0])
def test_a_file_that_states_no_orientation_is_as_stored(folder: Path, tmp_path: Path, nonsense: object) -> None:
    extract(folder, tmp_path / "out.h5", top_k=5, device="cpu", image_list=["6.png"])
    with h5py.File(tmp_path / "out.h5", "r+") as h5:
        h5["6.png"].attrs["orientation"] = nonsense
    with FeaturesReader(tmp_path / "out.h5") as reader:
        assert reader.load("6.png").orientation == 1
