"""Pictures with exact answers: where things are drawn, and what the colours say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.types import Features
from xfeat_cli.view.config import ViewConfig
from xfeat_cli.view.drawing import CAPTION_HEIGHT, PAPER, captioned, coloured, shortened, text_width
from xfeat_cli.view.keypoints import keypoints_picture, layer_picture
from xfeat_cli.view.matches import JoinedPoints, judged, matches_picture
from xfeat_cli.view.matrix import binned, matrix_picture
from xfeat_cli.view.model import Scene, bounds, levelled, model_picture
from xfeat_cli.view.photograph import Photograph, blank_photograph, read_photograph
from xfeat_cli.view.sheet import contact_sheet

GREY = Photograph("grey.png", np.full((100, 200, 3), 128, np.uint8), (400, 200))


def _features(points: list[list[float]], scores: list[float], size: tuple[int, int] = (400, 200)) -> Features:
    return Features(np.array(points, np.float32), np.array(scores, np.float32), np.zeros((len(points), 0)), size)


def test_a_photograph_is_read_in_colour_reduced_and_as_stored(tmp_path: Path) -> None:
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :45] = (200, 30, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: not to be applied
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    photo = read_photograph(tmp_path / "a.jpg", "a.jpg", 30)
    assert photo.size == (90, 60)
    assert photo.pixels.shape == (20, 30, 3)
    assert np.abs(photo.pixels[10, 3].astype(int) - (200, 30, 10)).max() <= 6


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_png_of_any_depth_keeps_its_colours(tmp_path: Path, dtype: type, top: int) -> None:
    pixels: np.ndarray = np.zeros((8, 8, 3), dtype)
    pixels[..., 2] = top  # OpenCV: red
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    assert read_photograph(tmp_path / "a.png", "a.png", 100).pixels[4, 4].tolist() == [255, 0, 0]


def test_gray_and_damaged_files(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(tmp_path / "a.png")
    assert read_photograph(tmp_path / "a.png", "a.png", 100).pixels[0, 0].tolist() == [77, 77, 77]
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"b\.jpg"):
        read_photograph(tmp_path / "b.jpg", "b.jpg", 100)
    with pytest.raises(ImageError, match="no such file"):
        read_photograph(tmp_path / "c.jpg", "c.jpg", 100)


def test_places_follow_the_half_pixel_rule() -> None:
    assert GREY.places(np.array([[0.5, 0.5], [399.5, 199.5]])).tolist() == [[0.0, 0.0], [199.5, 99.5]]


def test_a_blank_photograph_has_the_shape_of_the_image() -> None:
    assert blank_photograph("a", (4000, 2000), 100).pixels.shape == (50, 100, 3)
    assert blank_photograph("a", (0, 0), 100).pixels.shape == (75, 100, 3)


def test_keypoints_are_drawn_where_they_are_and_best_in_yellow() -> None:
    picture = keypoints_picture(GREY, _features([[40.5, 100.5], [360.5, 100.5]], [0.9, 0.1]), 16.0)
    best, worst = picture[50, 20 + 8], picture[50, 180 + 8]  # on circles of 16 stored = 8 drawn px
    assert best[0] > 180
    assert best[1] > 180
    assert worst[2] > 100
    assert worst[1] < 60
    assert picture[50, 100].tolist() == [70, 70, 70]  # dimmed photograph: 128 · 0.55


def test_no_keypoints_is_a_picture_too() -> None:
    picture = keypoints_picture(GREY, Features(*_empty()))
    assert picture.shape == (100 + CAPTION_HEIGHT, 200, 3)


def _empty() -> tuple:
    return np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 0)), (400, 200)


def test_a_layer_lies_over_the_whole_photograph() -> None:
    layer = np.zeros((25, 50), np.float32)
    layer[:, 25:] = 1
    picture = layer_picture(GREY, layer, "half")
    assert picture[50, 30].tolist() == [70, 70, 70]
    assert picture[50, 170].astype(int).sum() > 450


def test_a_single_peak_is_widened() -> None:
    layer = np.zeros((100, 200), np.float32)
    layer[50, 100] = 1
    bright = (layer_picture(GREY, layer, "peak", 5)[:100] != 70).any(-1)
    assert bright.sum() == 25


def test_verified_and_rejected_matches_differ_in_form() -> None:
    square = Photograph("square.png", np.full((100, 100, 3), 128, np.uint8), (200, 200))
    points = np.array([[100.5, 100.5]], np.float32)
    solid = matches_picture(square, square, JoinedPoints(points, points, np.array([True])))
    dashes = matches_picture(square, square, JoinedPoints(points, points, np.array([False])))

    def share_drawn(picture: np.ndarray) -> float:
        return float((picture[:100, 60:99] != 128).any(0).any(-1).mean())

    assert share_drawn(solid) == 1
    assert 0.4 < share_drawn(dashes) < 0.7


def test_wide_photographs_are_stacked() -> None:
    wide = Photograph("w", np.zeros((50, 200, 3), np.uint8), (200, 50))
    empty = np.zeros((0, 2), np.float32)
    picture = matches_picture(wide, wide, JoinedPoints(empty, empty, np.zeros(0, bool)))
    assert picture.shape[:2] == (108 + 2 * CAPTION_HEIGHT, 200)


@pytest.mark.parametrize("seed", range(3))
def test_outliers_are_told_by_geometry(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = rng.uniform((-2, -2, 4), (2, 2, 8), (120, 3))
    points0 = 500 * world[:, :2] / world[:, 2:] + 400
    moved = world + np.array([0.5, 0.1, 0.2])
    points1 = 500 * moved[:, :2] / moved[:, 2:] + 400
    points1[:30] = rng.uniform(0, 800, (30, 2))
    inlier = judged(points0, points1).inlier
    assert inlier[30:].mean() > 0.97
    assert inlier[:30].mean() < 0.25
    assert not judged(points0[:5], points1[:5]).inlier.any()


def test_the_matrix_is_symmetric_and_binned_by_sums() -> None:
    images = np.array([[0, 1], [0, 3], [2, 3]])
    cells, block = binned(4, images, np.array([5, 7, 9]), 4)
    assert block == 1
    assert cells.tolist() == [[0, 5, 0, 7], [5, 0, 0, 0], [0, 0, 0, 9], [7, 0, 9, 0]]
    cells, block = binned(4, images, np.array([5, 7, 9]), 2)
    assert block == 2
    assert cells.tolist() == [[5, 7], [7, 9]]


@pytest.mark.parametrize("count", [1, 2, 40, 41, 2500])
def test_a_matrix_picture_fits_a_screen(count: int) -> None:
    images = np.array([[0, count - 1]]) if count > 1 else np.zeros((0, 2), np.int64)
    picture = matrix_picture([f"{n}.jpg" for n in range(count)], images, np.array([3] * len(images)), "matches")
    assert max(picture.shape[:2]) <= 1200


def _looking(centres: np.ndarray, turns: np.ndarray, pitch_deg: float) -> Scene:
    """Cameras held level, in a world whose up is +z, that look along `turns` and down by `pitch_deg`."""
    pitch = np.radians(pitch_deg)
    rotations = []
    for turn in turns:
        ahead = np.array([np.cos(turn) * np.cos(pitch), np.sin(turn) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.sin(turn), -np.cos(turn), 0])
        rotations.append(np.stack([right, np.cross(ahead, right), ahead]))
    return Scene(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), centres, np.stack(rotations))


@pytest.mark.parametrize("pitch_deg", [-25.0, 0.0, 30.0])
def test_tilted_cameras_are_levelled(pitch_deg: float) -> None:
    turns = np.linspace(0, 2, 9)
    _, turn = levelled(_looking(np.zeros((9, 3)), turns, pitch_deg))
    assert turn[1] @ (0, 0, -1) > 0.998
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)


def test_a_survey_flight_looks_down() -> None:
    centres = np.array([[x, y, 50.0] for x in range(4) for y in range(4)])
    _, turn = levelled(_looking(centres, np.zeros(16), 89.9))
    assert turn[1] @ (0, 0, -1) > 0.99


def test_far_points_do_not_shrink_the_scene() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(500, 3)), [[1e6, 0, 0]]])
    _, reach = bounds(Scene(points, np.zeros((501, 3), np.uint8), np.zeros((1, 3)), np.eye(3)[None]))
    assert reach < 10


def test_a_model_picture_shows_points_cameras_and_nothing() -> None:
    scene = Scene(
        np.array([[0.0, 0, 5]]), np.array([[255, 0, 0]], np.uint8), np.zeros((2, 3)), np.stack([np.eye(3)] * 2)
    )
    picture = model_picture(scene, "a model", 200)
    assert (picture == (255, 0, 0)).all(-1).any()
    nothing = Scene(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros((0, 3)), np.zeros((0, 3, 3)))
    assert model_picture(nothing, "no model", 200).shape == picture.shape


def test_a_sheet_holds_every_picture() -> None:
    cells = [(np.full((30, 40, 3), 10 * n, np.uint8), f"{n}.jpg", "about") for n in range(1, 8)]
    sheet = contact_sheet(cells)
    for n in range(1, 8):
        assert (sheet == 10 * n).all(-1).sum() > 200 * 200


@pytest.mark.parametrize("name", ["a" * 500, "<script>alert(1)</script>", "zeile\nzwei", "\ud800", "写真.jpg"])
def test_captions_take_any_name(name: str) -> None:
    picture = captioned(np.zeros((10, 120, 3), np.uint8), name, "right")
    assert picture.shape == (10 + CAPTION_HEIGHT, 120, 3)
    assert picture[-1, -1].tolist() == list(PAPER)
    assert text_width(shortened(name, 96)) <= 96


def test_colours_of_any_shape() -> None:
    assert coloured(np.zeros((3, 2))).shape == (3, 2, 3)
    assert coloured(np.zeros(0)).shape == (0, 3)
    assert coloured(np.array([np.nan, 7.0])).shape == (2, 3)


def test_a_configuration_checks_itself() -> None:
    with pytest.raises(UsageError, match="drawn"):
        ViewConfig(drawn=0)
