"""Published layouts, written small in their published form, and the figures made of them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.cameras import Camera, project
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation import npz, pose_pairs
from xfeat_cli.evaluation.methods import CompareConfig
from xfeat_cli.evaluation.pose_sets import read_imc, read_megadepth1500, read_scannet1500
from xfeat_cli.types import Features

pytest.importorskip("poselib", reason="poses need the extra [eval]")

K = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])


def pose(angle: float, x: float) -> np.ndarray:
    """(4, 4) world to camera."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[:3] = [[c, 0, s, x], [0, 1, 0, 0.1], [-s, 0, c, 0.2]]
    return matrix


POSES = [pose(0.0, 0.0), pose(0.2, -1.0), pose(-0.1, 0.7)]


def objects(*items: object) -> np.ndarray:
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array


def photographs(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.zeros((6, 8), np.uint8))


@pytest.fixture
def megadepth(tmp_path: Path) -> Path:
    names = [f"Undistorted_SfM/0015/images/{i}.jpg" for i in range(3)]
    photographs(tmp_path / "images", *names)
    for file in ("0015_0.1_0.3", "0015_0.3_0.5"):
        np.savez(
            tmp_path / f"{file}.npz",
            image_paths=np.array(names, object),
            depth_paths=np.array(names, object),
            intrinsics=objects(K, K, K),
            poses=objects(*POSES),
            pair_infos=objects(
                ((0, 1), 0.2, np.zeros((2, 2))), ((np.int64(2), np.int64(1)), np.float64(0.3), np.zeros((1, 2)))
            ),
        )
    return tmp_path


def test_megadepth1500_as_published(megadepth: Path) -> None:
    benchmark = read_megadepth1500(megadepth, megadepth / "images")
    assert len(benchmark.pairs) == 4
    second = benchmark.pairs[1]
    assert second.image0 == "Undistorted_SfM/0015/images/2.jpg"
    assert (second.image1, second.part) == ("Undistorted_SfM/0015/images/1.jpg", "0015")
    np.testing.assert_allclose(second.camera0.R, POSES[2][:3, :3])
    np.testing.assert_allclose(second.camera1.t, POSES[1][:3, 3])
    np.testing.assert_allclose(second.camera0.K[:2, 2], [319.5, 239.5])  # COLMAP's pixels begin at a corner
    assert len(benchmark.images) == 3


def test_an_index_that_is_none(megadepth: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.npz"):
        read_megadepth1500(megadepth / "images", megadepth)
    (megadepth / "images/Undistorted_SfM/0015/images/1.jpg").unlink()
    with pytest.raises(UsageError, match="lacks 1 of 3 photographs"):
        read_megadepth1500(megadepth, megadepth / "images")
    np.savez(megadepth / "0016.npz", image_paths=np.array(["a"], object))
    with pytest.raises(UsageError, match=r"0016\.npz is not an index"):
        read_megadepth1500(megadepth, megadepth / "images")


class Evil:
    def __reduce__(self):
        return (eval, ("open('owned', 'w')",))


@pytest.mark.parametrize("content", [Evil(), [Evil()], np.array([Evil()], object)])
def test_a_pickle_cannot_run_anything(tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with zipfile.ZipFile("evil.npz", "w") as archive:
        archive.writestr("poses.npy", buffer.getvalue() + pickle.dumps(content))
    with pytest.raises(UsageError, match="which is no array"):
        npz.read_npz(Path("evil.npz"))
    assert not Path("owned").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    expected = objects("name", 3, np.float32(0.5), np.arange(6.0).reshape(2, 3), ((1, 2), "x"))
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (5,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", buffer.getvalue() + pickle.dumps(expected, protocol))
    found = npz.read_npz(tmp_path / "a.npz")["a"]
    np.testing.assert_array_equal(found[3], expected[3])
    assert (found[0], found[1], found[2], found[4]) == ("name", 3, 0.5, ((1, 2), "x"))


def test_plain_arrays_and_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", one=np.arange(6, dtype=np.int16).reshape(2, 3), two=np.array(["x", "yz"]))
    found = npz.read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["one"], [[0, 1, 2], [3, 4, 5]])
    assert found["two"].tolist() == ["x", "yz"]
    (tmp_path / "b.npz").write_bytes(b"PK no")
    for name in ("b.npz", "missing.npz"):
        with pytest.raises(UsageError, match="cannot be read"):
            npz.read_npz(tmp_path / name)
    monkeypatch.setattr(npz, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match="claims more than"):
        npz.read_npz(tmp_path / "a.npz")


def test_scannet1500_as_published(tmp_path: Path) -> None:
    images = tmp_path / "scans"
    photographs(images, *(f"scene0707_00/color/{frame}.jpg" for frame in (15, 585)))
    (images / "scene0707_00" / "pose").mkdir()
    for frame, matrix in ((15, POSES[0]), (585, POSES[1])):
        np.savetxt(images / "scene0707_00" / "pose" / f"{frame}.txt", np.linalg.inv(matrix))
    np.savez(tmp_path / "test.npz", name=np.array([[707, 0, 15, 585]], np.uint16))
    np.savez(tmp_path / "intrinsics.npz", scene0707_00=K)
    [pair] = read_scannet1500(tmp_path, images).pairs
    assert (pair.image0, pair.image1) == ("scene0707_00/color/15.jpg", "scene0707_00/color/585.jpg")
    np.testing.assert_allclose(pair.camera1.R, POSES[1][:3, :3], atol=1e-12)
    np.testing.assert_allclose(pair.camera1.t, POSES[1][:3, 3], atol=1e-12)
    assert pair.camera0.size == (640, 480)

    between = POSES[1] @ np.linalg.inv(POSES[0])
    np.savez(tmp_path / "test.npz", name=np.array([[707, 0, 15, 585]]), rel_pose=between[None, :3].reshape(1, 12))
    [pair] = read_scannet1500(tmp_path, images).pairs
    np.testing.assert_allclose(pair.camera0.R, np.eye(3))
    np.testing.assert_allclose(pair.camera1.t, between[:3, 3])
    np.savez(tmp_path / "intrinsics.npz", scene0001_00=K)
    with pytest.raises(UsageError, match="not an index of ScanNet"):
        read_scannet1500(tmp_path, images)


def test_imc_as_published(tmp_path: Path) -> None:
    names = ["a-1", "b_2", "c"]
    photographs(tmp_path / "trevi" / "images", *(f"{name}.jpg" for name in names))
    lines = ["image_id,camera_intrinsics,rotation_matrix,translation_vector"]
    for name, matrix in zip(names, POSES, strict=True):
        columns = (K, matrix[:3, :3], matrix[:3, 3])
        lines.append(",".join([name, *(" ".join(map(str, np.ravel(column))) for column in columns)]))
    (tmp_path / "trevi" / "calibration.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "trevi" / "pair_covisibility.csv").write_text(
        "pair,covisibility,fundamental_matrix\na-1-b_2,0.5,0 0 0\na-1-c,0.05,0\nb_2-c,0.1,0\n"
    )
    benchmark = read_imc(tmp_path, 10)
    assert [(pair.image0, pair.image1, pair.part) for pair in benchmark.pairs] == [
        ("trevi/images/a-1.jpg", "trevi/images/b_2.jpg", "trevi"),
        ("trevi/images/b_2.jpg", "trevi/images/c.jpg", "trevi"),
    ]
    np.testing.assert_allclose(benchmark.pairs[1].camera1.R, POSES[2][:3, :3])
    np.testing.assert_allclose(benchmark.pairs[0].camera0.K[:2, 2], [319.5, 239.5])
    assert len(read_imc(tmp_path, 1).pairs) == 1
    assert read_imc(tmp_path, 1).pairs[0].image0 == read_imc(tmp_path, 1).pairs[0].image0
    with pytest.raises(UsageError, match="holds no scenes"):
        read_imc(tmp_path / "trevi", 10)
    (tmp_path / "trevi" / "pair_covisibility.csv").write_text("pair,covisibility\nx-y,0.5\n")
    with pytest.raises(UsageError, match="not a scene"):
        read_imc(tmp_path, 10)


def test_intrinsics_for_another_size() -> None:
    camera = Camera(K, np.eye(3), np.zeros(3), (640, 480))
    twice = pose_pairs.at_size(camera, (1280, 480))
    np.testing.assert_allclose(twice.K, [[1000, 0, 640.5], [0, 510, 240], [0, 0, 1]])
    assert twice.size == (1280, 480)
    assert pose_pairs.at_size(Camera(K, np.eye(3), np.zeros(3), (0, 0)), (99, 77)).K is K


def test_summary_of_hand_made_pairs() -> None:
    perfect = {"error_deg_seed0": 0.0, "error_deg_seed1": 0.0, "precise": 1.0}
    failed = {"error_deg_seed0": 180.0, "error_deg_seed1": 180.0, "precise": float("nan")}
    half = {"error_deg_seed0": 5.0, "error_deg_seed1": 180.0, "precise": 0.5}
    assert pose_pairs._summarised([perfect, failed], 2) == {
        "AUC@5°": 50, "AUC@10°": 50, "AUC@20°": 50, "mAA@10°": 50, "precision": 100,
    }  # fmt: skip
    summary = pose_pairs._summarised([half], 2)
    # Recall rises from 0 to 1 at 5° and stays: (2.5 + 5) / 10, in one seed of two; 5°, 6°, … 10° of ten thresholds.
    assert summary["AUC@10°"] == pytest.approx(100 * 0.75 / 2)
    assert summary["mAA@10°"] == pytest.approx(100 * 0.6 / 2)
    assert summary["precision"] == 50


def test_true_matches_have_no_error(megadepth: Path) -> None:
    pair = read_megadepth1500(megadepth, megadepth / "images").pairs[0]
    points = np.random.default_rng(0).uniform([-2, -1.5, 4], [2, 1.5, 8], (200, 3))
    empty = Features(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 64)), (640, 480))
    seen = project(points, pair.camera0), project(points, pair.camera1)
    values = pose_pairs._score(pair, seen, empty, empty, seeds=2)
    assert values["error_deg_seed1"] < 0.01
    assert values["precise"] == 1
    nothing = pose_pairs._score(pair, (np.zeros((0, 2)), np.zeros((0, 2))), empty, empty, seeds=1)
    assert nothing["error_deg_seed0"] == 180
    assert np.isnan(nothing["precise"])


def test_the_whole_run_on_a_rendered_scene(tmp_path: Path) -> None:
    from xfeat_cli.demo import arc, build_scene, render_view

    size = (256, 192)
    cameras = arc(6, size, seed=0)[:2]
    for number, camera in enumerate(cameras):
        image, _ = render_view(build_scene(size), camera)
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image[..., ::-1])
    poses = [np.vstack([np.column_stack([camera.R, camera.t]), [0, 0, 0, 1]]) for camera in cameras]
    k = [camera.K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]) for camera in cameras]
    np.savez(
        tmp_path / "0001.npz",
        image_paths=np.array(["0.png", "1.png"], object),
        intrinsics=objects(*k),
        poses=objects(*poses),
        pair_infos=objects(((0, 1), 0.5, None)),
    )

    class Quiet:
        def start(self, what: str, total: int) -> None: ...
        def step(self, name: str) -> None: ...

    config = CompareConfig(only=("sparse",), against=("sift",), seeds=2, device="cpu")
    benchmark = read_megadepth1500(tmp_path, tmp_path / "images")
    rows, settings = pose_pairs.evaluate_pose_pairs(benchmark, config, tmp_path / "out", Quiet())
    assert [row.method for row in rows] == ["sparse", "sift"]
    assert rows[0].values["AUC@20°"] > 50
    assert settings["inliers_px"] == 1.5
    assert (tmp_path / "out" / "chart.png").is_file()
