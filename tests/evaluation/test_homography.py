"""Homography figures with exact answers, and the layouts that hold homographies."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation import homography as of
from xfeat_cli.evaluation.homography_sets import LARGE_SEQUENCES, read_gt_json, read_hpatches

SHIFT = np.array([[1.0, 0, 3], [0, 1, -4], [0, 0, 1]])
TURN = np.array([[0.9, -0.3, 20], [0.25, 0.95, -10], [2e-4, -1e-4, 1]])


def test_points_are_divided_by_their_depth() -> None:
    moved = of.transfer(np.array([[1.0, 2], [0, 0]]), np.array([[2.0, 0, 1], [0, 1, 0], [1, 0, 1]]))
    np.testing.assert_allclose(moved, [[1.5, 1], [1, 0]])


def test_a_point_at_infinity_is_never_right() -> None:
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])
    points = np.array([[0.0, 5], [0.0, 0]])
    assert of.matching_accuracy((points, points), horizon) == {1: 0, 3: 0, 5: 0}


def test_the_share_of_matches_within_some_pixels() -> None:
    points0 = np.zeros((4, 2))
    points1 = np.array([[3.0, -4], [3, -3], [3, -2.5], [9, -4]])
    assert of.matching_accuracy((points0, points1), SHIFT) == {1: 0.5, 3: 0.75, 5: 0.75}


def test_no_matches_are_no_accuracy() -> None:
    assert of.matching_accuracy((np.zeros((0, 2)), np.zeros((0, 2))), SHIFT) == {1: 0, 3: 0, 5: 0}


def test_the_corner_error() -> None:
    assert of.corner_error(np.eye(3), SHIFT, (640, 480)) == pytest.approx(5)
    # Twice as large about the origin: corners (0, 0), (9, 0), (0, 7), (9, 7) move by their own length.
    expected = np.mean([0, 9, 7, np.hypot(9, 7)])
    assert of.corner_error(np.diag([2.0, 2, 1]), np.eye(3), (10, 8)) == pytest.approx(expected)
    assert of.corner_error(np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]]), np.eye(3), (10, 8)) == np.inf


def test_true_matches_give_the_true_homography() -> None:
    points0 = np.random.default_rng(0).uniform(0, 400, (60, 2))
    points1 = of.transfer(points0, TURN)
    points1[:20] = np.random.default_rng(1).uniform(0, 400, (20, 2))
    estimate = of.estimate_homography((points0, points1), seed=0)
    assert estimate is not None
    assert of.corner_error(estimate, TURN, (400, 300)) < 1e-3
    assert of.estimate_homography((points0[:3], points1[:3]), seed=0) is None


def test_summary_of_hand_made_pairs() -> None:
    perfect = {"within_1px": 1.0, "within_3px": 1.0, "within_5px": 1.0, **_errors(0.0, 0.0)}
    failed = {"within_1px": 0.0, "within_3px": 0.5, "within_5px": 0.5, **_errors(np.inf, np.inf)}
    half = {"within_1px": 0.5, "within_3px": 0.75, "within_5px": 1.0, **_errors(3.0, np.inf)}
    assert of._summarised([perfect, failed], seeds=2) == {
        "AUC@1px": 50, "AUC@3px": 50, "AUC@5px": 50, "MMA@1px": 50, "MMA@3px": 75, "MMA@5px": 75,
    }  # fmt: skip
    # Recall rises from 0 to 1 at 3 px and stays until 5: (1.5 + 2) / 5, in one seed of two.
    assert of._summarised([half], seeds=2)["AUC@5px"] == pytest.approx(100 * 0.7 / 2)


def _errors(first: float, second: float) -> dict[str, float]:
    return {"corner_error_px_seed0": first, "corner_error_px_seed1": second}


def write_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((6, 8, 3), np.uint8))


def write_hpatches(folder: Path, *sequences: str) -> None:
    for sequence in sequences:
        write_images(folder / sequence, *(f"{number}.ppm" for number in range(1, 7)))
        for number in range(2, 7):
            np.savetxt(folder / sequence / f"H_1_{number}", TURN * number)


def test_hpatches_as_published(tmp_path: Path) -> None:
    write_hpatches(tmp_path, "v_graffiti", "i_ajuntament", "i_dc")
    (tmp_path / "README").write_text("")
    benchmark = read_hpatches(tmp_path)
    assert len(benchmark.pairs) == 15
    assert {pair.part for pair in benchmark.pairs} == {"light", "viewpoint"}
    first = benchmark.pairs[0]
    assert (first.image0, first.image1, first.part) == ("i_ajuntament/1.ppm", "i_ajuntament/2.ppm", "light")
    np.testing.assert_allclose(first.homography, TURN * 2)
    assert [image.name for image in benchmark.images][-2:] == ["v_graffiti/5.ppm", "v_graffiti/6.ppm"]
    assert len(read_hpatches(tmp_path, LARGE_SEQUENCES).pairs) == 10


def test_hpatches_that_lacks_something(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no i_"):
        read_hpatches(tmp_path)
    write_hpatches(tmp_path, "v_graffiti")
    (tmp_path / "v_graffiti" / "3.ppm").unlink()
    with pytest.raises(UsageError, match=r"lacks 1 of 6 photographs, the first is v_graffiti/3\.ppm"):
        read_hpatches(tmp_path)
    (tmp_path / "v_graffiti" / "H_1_4").write_text("1 0 0 0 1 0 0 0")
    with pytest.raises(UsageError, match="H_1_4: a homography is 3×3"):
        read_hpatches(tmp_path)
    (tmp_path / "v_graffiti" / "H_1_4").unlink()
    with pytest.raises(UsageError, match="H_1_4 cannot be read"):
        read_hpatches(tmp_path)


def test_a_folder_with_gt_json(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "boat_1.jpg", "boat_2.jpg", "a b/1.png", "a b/2.png")
    entries = {"boat_1.jpg boat_2.jpg": {"H": TURN.tolist()}, "a b/1.png\ta b/2.png": {"H": SHIFT.tolist()}}
    (tmp_path / "gt.json").write_text(json.dumps(entries))
    benchmark = read_gt_json(tmp_path)
    assert benchmark.name == tmp_path.name
    assert [(pair.image0, pair.image1, pair.part) for pair in benchmark.pairs] == [
        ("boat_1.jpg", "boat_2.jpg", "boat"),
        ("a b/1.png", "a b/2.png", "a b"),
    ]
    np.testing.assert_array_equal(benchmark.pairs[1].homography, SHIFT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no", "not a list of homographies"),
        ("[]", "not a list of homographies"),
        ('{"a.jpg": {"H": [[1,0,0],[0,1,0],[0,0,1]]}}', "does not name two images"),
        ('{"a.jpg b.jpg": {"H": [[1,0],[0,1]]}}', "3×3"),
        ('{"a.jpg b.jpg": {"H": [[1,0,0],[0,NaN,0],[0,0,1]]}}', "cannot be inverted"),
        ('{"a.jpg b.jpg": {"H": [[1,0,0],[0,0,0],[0,0,1]]}}', "cannot be inverted"),
        ('{"../a.jpg b.jpg": {"H": [[1,0,0],[0,1,0],[0,0,1]]}}', "lies outside"),
        ('{"/a.jpg b.jpg": {"H": [[1,0,0],[0,1,0],[0,0,1]]}}', "lies outside"),
        ('{"a.jpg b.jpg": {"H": [[1,0,0],[0,1,0],[0,0,1]]}}', "lacks 2 of 2"),
    ],
)
def test_bad_gt_json_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "gt.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_gt_json(tmp_path)


def test_no_gt_json(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gt\.json cannot be read"):
        read_gt_json(tmp_path)
