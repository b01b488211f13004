"""A rendered view localised in a model whose points are known exactly."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.cameras import Camera, backproject, save_cameras
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.localization import pose_error, read_poses, score_localization
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.localize import localize
from xfeat_cli.localization.intrinsics import Source
from xfeat_cli.localization.localizer import Localizer
from xfeat_cli.store.reader import FeaturesReader

pytest.importorskip("poselib", reason="poses need the extra [localize]")
pytest.importorskip("pycolmap", reason="models need the extra [localize]")

SIZE = (320, 240)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five views of the demo scene: four mapped, with a point of the model for every keypoint, and one to localise."""
    from xfeat_cli.demo import arc, build_scene, render_view

    folder = tmp_path_factory.mktemp("world")
    cameras = arc(5, SIZE, seed=0)
    depths = {}
    for number, camera in enumerate(cameras):
        image, depth = render_view(build_scene(SIZE), camera)
        target = folder / ("queries" if number == 2 else "images") / f"{number}.png"
        target.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(target), image[..., ::-1])
        depths[f"{number}.png"] = (camera, depth)
    extract(folder / "images", folder / "out.h5", device="cpu")
    write_model(folder / "model", folder / "out.h5", depths)
    save_cameras(folder / "cameras.json", {name: camera for name, (camera, _) in depths.items()})
    return folder


def write_model(model: Path, features: Path, depths: dict[str, tuple[Camera, np.ndarray]]) -> None:
    """A COLMAP text model: each keypoint is seen once, where the rendered depth says."""
    model.mkdir()
    camera_lines: list[str] = []
    image_lines: list[str] = []
    point_lines: list[str] = []
    with FeaturesReader(features) as reader:
        for image_id, name in enumerate(reader.names(), 1):
            camera, depth = depths[name]
            k = camera.K
            camera_lines.append(
                f"{image_id} PINHOLE {SIZE[0]} {SIZE[1]} {k[0, 0]} {k[1, 1]} {k[0, 2] + 0.5} {k[1, 2] + 0.5}"
            )
            keypoints = reader.load(name).keypoints
            x, y = np.rint(keypoints).astype(int).T
            at = depth[y.clip(0, SIZE[1] - 1), x.clip(0, SIZE[0] - 1)]
            keep = np.isfinite(at) & (at > 0)
            points = backproject(keypoints[keep], at[keep], camera)
            observed: list[str] = []
            for (u, v), point in zip(keypoints[keep] + 0.5, points, strict=True):
                point_id = len(point_lines) + 1
                point_lines.append(f"{point_id} {' '.join(map(str, point))} 0 0 0 0.1 {image_id} {len(observed)}")
                observed.append(f"{u} {v} {point_id}")
            from xfeat_cli.localization.pose import quaternion

            pose = " ".join(map(str, [*quaternion(camera.R), *camera.t]))
            image_lines += [f"{image_id} {pose} {image_id} {name}", " ".join(observed)]
    for file, lines in (("cameras", camera_lines), ("images", image_lines), ("points3D", point_lines)):
        (model / f"{file}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def localizer(world: Path) -> Localizer:
    return Localizer(world / "model", world / "out.h5", retrieved=3, device="cpu", camera=camera_text(world))


def camera_text(world: Path) -> str:
    k = json.loads((world / "cameras.json").read_text())["2.png"]["K"]
    return f"PINHOLE,{k[0][0]},{k[1][1]},{k[0][2] + 0.5},{k[1][2] + 0.5}"


def error_of(world: Path, found) -> tuple[float, float]:
    from xfeat_cli.alignment import Similarity
    from xfeat_cli.cameras import load_cameras

    same = Similarity(1.0, np.eye(3), np.zeros(3))
    return pose_error(
        (found.pose.rotation, found.pose.translation), load_cameras(world / "cameras.json")["2.png"], same
    )


def test_a_file_and_its_pixels_are_localised_alike(world: Path, localizer: Localizer) -> None:
    path = world / "queries" / "2.png"
    found = localizer.localize(path)
    assert found.pose is not None
    assert (found.intrinsics, len(found.retrieved)) == (Source.GIVEN, 3)
    assert found.inliers > 50
    assert 0.5 < found.confidence < 1
    distance, angle = error_of(world, found)
    assert angle < 0.5
    assert distance < 0.05
    again = localizer.localize(cv2.imread(str(path)))
    assert again.pose is not None
    np.testing.assert_allclose(again.pose.translation, found.pose.translation, atol=1e-6)


def test_references_by_name(world: Path, localizer: Localizer) -> None:
    path = world / "queries" / "2.png"
    assert localizer.images == ["0.png", "1.png", "3.png", "4.png"]
    found = localizer.localize(path, ["1.png"])
    assert found.retrieved == ("1.png",)
    assert found.pose is not None
    without = localizer.localize(path, without="1.png")
    assert "1.png" not in without.retrieved
    assert len(without.retrieved) == 3
    with pytest.raises(UsageError, match=r"9\.png is not an image"):
        localizer.localize(path, ["9.png"])


def test_a_focal_length_that_nobody_knows(world: Path) -> None:
    found = Localizer(world / "model", world / "out.h5", device="cpu").localize(world / "queries" / "2.png")
    assert found.intrinsics is Source.GUESSED
    assert found.pose is not None
    assert error_of(world, found)[1] < 3


def test_a_photograph_of_something_else(localizer: Localizer) -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (240, 320), np.uint8), (0, 0), 2)
    found = localizer.localize(noise)
    assert found.pose is None
    assert "are needed" in found.reason
    assert found.confidence == 0
    blank = localizer.localize(np.zeros((240, 320), np.uint8))
    assert (blank.pose, blank.matches, blank.retrieved) == (None, 0, ())


def test_features_of_another_collection(world: Path, tmp_path: Path) -> None:
    for number in (0, 1, 3, 4):
        image = cv2.imread(str(world / "images" / f"{number}.png"))
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), cv2.resize(image, (640, 480)))
    extract(tmp_path / "images", tmp_path / "out.h5", device="cpu", top_k=200)
    with pytest.raises(UsageError, match="was not made of"):
        Localizer(world / "model", tmp_path / "out.h5", device="cpu")
    extract(world / "queries", tmp_path / "others.h5", device="cpu")
    with pytest.raises(UsageError, match="no image in common"):
        Localizer(world / "model", tmp_path / "others.h5", device="cpu")


def test_a_folder_and_its_score(world: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries"
    queries.mkdir()
    (queries / "2.png").write_bytes((world / "queries" / "2.png").read_bytes())
    (queries / "damaged.png").write_bytes(b"no")
    cv2.imwrite(str(queries / "4.png"), np.zeros((240, 320), np.uint8))
    output = tmp_path / "poses.csv"
    summary = localize(world / "model", world / "out.h5", queries, output, camera=camera_text(world))
    assert (summary.done, len(summary.failures)) == (1, 2)
    with open(output, newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert [rows[name]["status"] for name in ("2.png", "4.png", "damaged.png")] == ["ok", "failed", "failed"]
    [line] = (tmp_path / "poses.txt").read_text().splitlines()
    name, *numbers = line.split()
    assert (name, len(numbers)) == ("2.png", 7)
    pose = read_poses(output)["2.png"]
    assert pose is not None
    np.testing.assert_allclose(pose[1], [float(number) for number in numbers[4:]])

    score = score_localization(output, world / "model", world / "cameras.json")
    assert (score.queries, score.localised) == (2, 1)
    assert score.recalls[0] == 50
    assert score.position_median == np.inf


def test_pairs_name_the_references(world: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("2.png 1.png\n3.png 2.png\n")
    summary = localize(
        world / "model", world / "out.h5", world / "queries", tmp_path / "p.csv", pairs=pairs, camera=camera_text(world)
    )
    assert summary.done == 1
    with open(tmp_path / "p.csv", newline="") as file:
        assert next(csv.DictReader(file))["retrieved"] == "2"
    pairs.write_text("a.png b.png\n")
    with pytest.raises(UsageError, match="no line of a query"):
        localize(world / "model", world / "out.h5", world / "queries", tmp_path / "p.csv", pairs=pairs)
    with pytest.raises(UsageError, match=r"does not end in \.txt"):
        localize(world / "model", world / "out.h5", world / "queries", tmp_path / "p.txt")
