"""Methods compared on a tiny benchmark: features made once, results beside them, OpenCV's features without bias."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.evaluation import opencv_features
from xfeat_cli.evaluation.homography import evaluate_homographies
from xfeat_cli.evaluation.homography_sets import read_gt_json
from xfeat_cli.evaluation.methods import CompareConfig, methods
from xfeat_cli.evaluation.mirror import CHANGES, movement, places
from xfeat_cli.images import Photo
from xfeat_cli.model.weights import DEFAULT_WEIGHTS

MOVED = np.array([[0.95, -0.2, 20], [0.15, 1.0, -6], [1e-4, 0, 1]])


class Steps:
    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []
        self.steps: list[str] = []

    def start(self, what: str, total: int) -> None:
        self.started.append((what, total))

    def step(self, name: str) -> None:
        self.steps.append(name)


@pytest.fixture
def folder(photograph: np.ndarray, tmp_path: Path) -> Path:
    """A photograph, and how it looks after a homography."""
    (tmp_path / "set" / "images").mkdir(parents=True)
    large = cv2.resize(photograph, (480, 352), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "set" / "images" / "wall_1.png"), large)
    cv2.imwrite(str(tmp_path / "set" / "images" / "wall_2.png"), cv2.warpPerspective(large, MOVED, (480, 352)))
    entries = {"wall_1.png wall_2.png": {"H": MOVED.tolist()}, "wall_1.png wall_1.png": {"H": np.eye(3).tolist()}}
    (tmp_path / "set" / "gt.json").write_text(json.dumps(entries))
    return tmp_path


def test_methods_on_the_same_pairs(folder: Path) -> None:
    config = CompareConfig(against=("sift", "orb"), top_k=1000, seeds=2, min_cossim=-1.0)
    out, steps = folder / "out", Steps()
    rows, settings = evaluate_homographies(read_gt_json(folder / "set"), config, out, steps)
    assert [row.method for row in rows][:2] == ["sparse", "semi-dense"]
    assert [row.method for row in rows][-2:] == ["sift", "orb"]
    assert steps.started[:2] == [("sparse: features", 2), ("sparse: pairs", 2)]
    assert settings["inliers_px"] == 3
    assert "weights" in settings
    for row in rows:
        assert (row.part, row.pairs) == ("all", 2)
        assert row.values["AUC@5px"] > 80, row
        assert row.values["MMA@5px"] > 50, row
        assert 0 < row.keypoints <= 1000
        assert row.ms_image > 0
    sift = next(row for row in rows if row.method == "sift")
    assert sift.values["AUC@1px"] > 80

    with open(out / "results.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [line["method"] for line in written] == [row.method for row in rows]
    assert float(written[0]["AUC@3px"]) == pytest.approx(rows[0].values["AUC@3px"])
    with open(out / "pairs.csv", newline="") as file:
        pairs = list(csv.DictReader(file))
    assert len(pairs) == 2 * len(rows)
    assert float(pairs[1]["corner_error_px_seed1"]) < 0.5  # an image with itself
    assert json.loads((out / "settings.json").read_text()) == settings
    chart = cv2.imread(str(out / "chart.png"))
    assert chart is not None
    assert (chart != 255).any()


def test_features_are_made_once(folder: Path) -> None:
    config = CompareConfig(only=("sparse",), top_k=300, seeds=1)
    benchmark = read_gt_json(folder / "set")
    first, _ = evaluate_homographies(benchmark, config, folder / "out", Steps())
    [kept] = (folder / "out" / "features").glob("*.h5")
    before = kept.read_bytes()
    again, _ = evaluate_homographies(benchmark, config, folder / "out", Steps())
    assert (again[0].values, again[0].ms_image) == (first[0].values, first[0].ms_image)
    assert kept.read_bytes() == before

    changed = folder / "set" / "images" / "wall_2.png"
    cv2.imwrite(str(changed), np.zeros((352, 480), np.uint8))
    blank, _ = evaluate_homographies(benchmark, config, folder / "out", Steps())
    assert blank[0].values["MMA@5px"] == pytest.approx(50)
    assert len(list((folder / "out" / "features").glob("*.h5"))) == 1
    evaluate_homographies(benchmark, CompareConfig(only=("sparse",), top_k=200, seeds=1), folder / "out", Steps())
    assert len(list((folder / "out" / "features").glob("*.h5"))) == 2


def test_a_damaged_photograph_ends_it_and_what_was_made_is_kept(folder: Path) -> None:
    (folder / "set" / "images" / "wall_2.png").write_bytes(b"no")
    config = CompareConfig(only=("sparse",), top_k=300, seeds=1)
    with pytest.raises(ImageError, match=r"wall_2\.png"):
        evaluate_homographies(read_gt_json(folder / "set"), config, folder / "out", Steps())
    assert list((folder / "out" / "features").glob("*"))
    assert not (folder / "out" / "results.csv").exists()


def test_methods_that_cannot_be_had() -> None:
    with pytest.raises(UsageError, match="dense: no method"):
        CompareConfig(only=("dense",))
    names = [method.name for method in methods(CompareConfig(only=("semi-dense",), against=("default", "orb")))]
    assert names == ["semi-dense", DEFAULT_WEIGHTS, "orb"]


@pytest.mark.parametrize("change", list(CHANGES)[:5])
def test_sift_is_measured_without_opencvs_bias(photograph: np.ndarray, change: str) -> None:
    gray = cv2.resize(photograph.mean(2).astype(np.float32) / 255, (480, 352), interpolation=cv2.INTER_CUBIC)

    def keypoints(image: np.ndarray) -> np.ndarray:
        size = image.shape[::-1]
        return opencv_features.sift(Photo("", image.clip(0, 1), size, size), 2000).keypoints

    moved = movement([places(keypoints, gray)[change]])
    assert np.abs(moved.shift_px).max() < 0.01


def test_opencv_features_are_in_pixels_of_the_stored_image(photograph: np.ndarray) -> None:
    gray = photograph.mean(2).astype(np.float32) / 255
    seen = Photo("", gray, (240, 176), (240, 176))
    reduced = Photo("", gray, (720, 528), (720, 528))
    one, two = opencv_features.sift(seen, 50), opencv_features.sift(reduced, 50)
    assert len(one) == 50
    np.testing.assert_allclose(two.keypoints, (one.keypoints + 0.5) * 3 - 0.5, atol=1e-4)
    assert two.image_size == (720, 528)
    np.testing.assert_allclose(np.linalg.norm(one.descriptors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("detect", [opencv_features.sift, opencv_features.orb])
def test_nothing_to_see(detect) -> None:
    features = detect(Photo("", np.zeros((64, 64), np.float32), (64, 64), (64, 64)), 100)
    assert len(features) == 0
    match = opencv_features.match_sift if detect is opencv_features.sift else opencv_features.match_orb
    assert match(features, features).shape == (0, 2)
