"""The demo scene: its cameras are exact, its pixels are where they should be, its folder is safe to write."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from xfeat_cli.cli import demo as command
from xfeat_cli.demo import (
    Camera,
    Scene,
    arc,
    backproject,
    build_scene,
    folder,
    load_cameras,
    look_at,
    project,
    render_scene,
    render_view,
)
from xfeat_cli.demo.courtyard import courtyard
from xfeat_cli.demo.scene import finish
from xfeat_cli.demo.sheet import Sheet
from xfeat_cli.demo.surfaces import Cylinder, Patch, Sphere
from xfeat_cli.demo.views import intrinsics
from xfeat_cli.errors import UsageError

SIZE = (320, 240)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(SIZE)


def plain_sheet(value: int) -> Sheet:
    return Sheet.of(np.full((4, 4, 3), value, np.uint8), 0.01, around=True)


def camera_at(center: list[float], target: list[float], size: tuple[int, int] = SIZE, roll_deg: float = 7) -> Camera:
    return Camera(intrinsics(size), *look_at(center, target, roll_deg), size)


def test_backproject_inverts_project():
    rng = np.random.default_rng(0)
    camera = arc(5, SIZE, 3)[1]
    pixels, depth = rng.uniform(-50, 400, (100, 2)), rng.uniform(0.1, 30, 100)
    points = backproject(pixels, depth, camera)
    np.testing.assert_allclose(project(points, camera), pixels, atol=1e-9)
    np.testing.assert_allclose((points @ camera.R.T + camera.t)[:, 2], depth, atol=1e-12)


def test_points_behind_the_camera_have_no_pixel():
    camera = camera_at([0, -5, 1], [0, 0, 1])
    assert np.isnan(project([[0, -9, 1]], camera)).all()
    assert np.isfinite(project([[0, 0, 1]], camera)).all()


def test_rotations_are_rotations_and_the_principal_point_is_off_centre():
    for camera in arc(12, SIZE, 0):
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(camera.R) == pytest.approx(1)
        assert abs(camera.K[0, 2] - (SIZE[0] - 1) / 2) > 1
        np.testing.assert_array_equal(camera.K, arc(12, SIZE, 0)[0].K)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.31, 0.77), (-1.62, 0.42), (0.93, -0.88)])
def test_a_ball_is_drawn_where_projection_says(offset):
    camera = camera_at([0.4, -6, 0.5], [0.1, 0, 0.2])
    center, radius = np.array([offset[0], 0.3, offset[1]]), 0.17
    image, depth = render_view(Scene([Sphere(center, radius)], [plain_sheet(255)]), camera)
    sky, _ = render_view(Scene([], []), camera)
    weight = np.abs(image.astype(float) - sky)[..., 0] / (255.0 - sky[..., 0])
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    centroid = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()

    a, b, c = camera.R @ center + camera.t
    outline_center = np.array([a * c, b * c, c * c - radius**2]) / (c * c - radius**2)
    np.testing.assert_allclose(centroid, (camera.K @ outline_center)[:2], atol=0.03)

    nearest_x, nearest_y = np.round(project(center[None], camera)[0]).astype(int)
    seen = backproject([[nearest_x, nearest_y]], [depth[nearest_y, nearest_x]], camera)[0]
    assert np.linalg.norm(seen - center) == pytest.approx(radius, abs=1e-5)


@pytest.mark.parametrize("shape", [
    Patch(np.array([-1.0, 0.2, 1.3]), np.array([2.0, 0.3, 0.0]), np.array([0.0, 0.1, -1.5])),
    Cylinder(np.array([0.2, 0.0, -0.6]), 0.7, 1.6),
    Sphere(np.array([0.1, 0.2, 0.3]), 0.9),
])  # fmt: skip
def test_a_sheet_lies_on_its_shape_where_it_says(shape):
    camera = camera_at([0.4, -6, 0.5], [0.1, 0, 0.2])
    gradient = np.linspace(0, 255, 256, dtype=np.uint8)
    picture = np.dstack([np.tile(gradient, (256, 1)), np.tile(gradient[:, None], (1, 256)), np.zeros((256, 256))])
    image, depth = render_view(Scene([shape], [Sheet.of(picture.astype(np.uint8), 1.0)]), camera)
    y, x = np.nonzero(cv2.erode((depth > 0).astype(np.uint8), np.ones((5, 5), np.uint8)))
    points = backproject(np.column_stack([x, y]), depth[y, x], camera)
    if isinstance(shape, Patch):
        u = (points - shape.corner) @ shape.right / (shape.right @ shape.right)
        v = (points - shape.corner) @ shape.down / (shape.down @ shape.down)
        np.testing.assert_allclose((points - shape.corner) @ shape.normal, 0, atol=1e-5)
    elif isinstance(shape, Cylinder):
        away = points - shape.base
        np.testing.assert_allclose(np.hypot(away[:, 0], away[:, 1]), shape.radius, atol=1e-5)
        u, v = np.arctan2(away[:, 0], -away[:, 1]) / (2 * np.pi) + 0.5, 1 - away[:, 2] / shape.height
    else:
        away = (points - shape.center) / shape.radius
        u, v = np.arctan2(away[:, 0], -away[:, 1]) / (2 * np.pi) + 0.5, np.arccos(np.clip(away[:, 2], -1, 1)) / np.pi
    # A texel's centre lies half a texel inside its edge, hence 256 · u − 0.5.
    np.testing.assert_allclose(image[y, x, 0], np.clip(256 * u - 0.5, 0, 255), atol=2)
    np.testing.assert_allclose(image[y, x, 1], np.clip(256 * v - 0.5, 0, 255), atol=2)


def test_two_views_agree_through_the_depth_and_no_shift_agrees_better(scene):
    first, second = arc(12, SIZE, 0)[5:7]
    image0, depth0 = render_view(scene, first)
    image1, depth1 = render_view(scene, second)
    gray0, gray1 = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (image0, image1))
    y, x = np.nonzero(depth0)
    points = backproject(np.column_stack([x, y]), depth0[y, x], first)
    pixels = project(points, second)
    distance = (points @ second.R.T + second.t)[:, 2]
    inside = ((pixels > 2) & (pixels < np.array(SIZE) - 3)).all(axis=1)
    x, y, pixels, distance = x[inside], y[inside], pixels[inside], distance[inside]
    cx, cy = np.round(pixels).astype(int).T
    around = np.stack([cv2.erode(depth1, np.ones((3, 3))), cv2.dilate(depth1, np.ones((3, 3)))])
    visible = (around[0, cy, cx] > 0.98 * distance) & (around[1, cy, cx] < 1.02 * distance)
    assert visible.mean() > 0.5
    x, y, pixels = (values[visible][::3] for values in (x, y, pixels))

    def difference(dx: float, dy: float) -> np.ndarray:
        moved = (pixels + np.array([dx, dy])).astype(np.float32)[:, None, :]
        return cv2.remap(gray1, moved, None, cv2.INTER_CUBIC).ravel() - gray0[y, x]

    error = difference(0, 0)
    assert np.abs(error).mean() < 4
    for shift in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
        assert np.mean(difference(*shift) ** 2) > 1.5 * np.mean(error**2)
    step = 0.25
    for axis in np.eye(2):
        low, middle, high = (np.mean(difference(*(axis * s)) ** 2) for s in (-step, 0, step))
        best = step * (low - high) / (2 * (low - 2 * middle + high))
        assert abs(best) < 0.03


def test_two_sizes_show_the_same_geometry(scene):
    small, large = arc(4, SIZE, 0)[1], arc(4, (3 * SIZE[0], 3 * SIZE[1]), 0)[1]
    np.testing.assert_array_equal(small.t, large.t)
    _, depth_small = render_view(scene, small)
    _, depth_large = render_view(scene, large)
    np.testing.assert_allclose(depth_large[1::3, 1::3], depth_small, rtol=1e-4)


def test_paint_and_light_do_not_depend_on_the_number_of_threads():
    things = courtyard(1)[-60:]
    one, three = finish(things, 0.03, 1, threads=1), finish(things, 0.03, 1, threads=3)
    for a, b in zip(one.sheets, three.sheets, strict=True):
        np.testing.assert_array_equal(a.levels[0], b.levels[0])


def test_another_seed_paints_another_scene():
    one, other = (finish(courtyard(seed)[-60:], 0.03, seed) for seed in (1, 2))
    assert any((a.levels[0] != b.levels[0]).any() for a, b in zip(one.sheets, other.sheets, strict=True))


def test_an_even_number_of_samples_is_refused():
    with pytest.raises(ValueError, match="odd"):
        render_view(Scene([], []), arc(2, SIZE, 0)[0], samples=2)


def run(*arguments: str):
    app = typer.Typer()
    app.command()(command.demo)
    return CliRunner().invoke(app, list(arguments))


def test_the_command_writes_the_whole_folder_and_the_library_the_same_bytes(tmp_path):
    result = run(str(tmp_path / "a"), "--views", "3", "--size", "128x96", "--seed", "4", "--depth")
    assert result.exit_code == 0, result.exception
    assert "xfeat extract" in result.output
    scene = render_scene(tmp_path / "b", views=3, size=(128, 96), seed=4)
    cameras = load_cameras(tmp_path / "a" / "cameras.json")
    assert list(cameras) == list(scene.cameras) == ["view_000.jpg", "view_001.jpg", "view_002.jpg"]
    for name, camera in cameras.items():
        for field in ("K", "R", "t", "size"):
            np.testing.assert_array_equal(getattr(camera, field), getattr(scene.cameras[name], field))
        picture = tmp_path / "a" / "images" / name
        assert picture.read_bytes() == (scene.images / name).read_bytes()
        with Image.open(picture) as image:
            assert image.size == camera.size == (128, 96)
        with np.load(tmp_path / "a" / "depth" / f"{name}.npz") as stored:
            assert stored["depth"].dtype == np.float32
            assert stored["depth"].shape == (96, 128)
    assert (tmp_path / "a" / "pairs.txt").read_text().splitlines() == [
        "view_000.jpg view_001.jpg",
        "view_000.jpg view_002.jpg",
        "view_001.jpg view_002.jpg",
    ]
    assert not (scene.folder / "depth").exists()


@pytest.mark.parametrize("size", ["960", "0x640", "960x640x3", "-4x7", "99999x640"])
def test_an_impossible_size_is_refused(tmp_path, size):
    result = run(str(tmp_path / "a"), "--size", size)
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "a").exists()


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setattr(folder, "build_scene", lambda size, seed: Scene([], []))


def test_a_folder_with_other_files_is_left_alone(tmp_path, cheap):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "view_000.jpg").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="other files"):
            render_scene(tmp_path, views=2, size=(64, 64), overwrite=overwrite)
    assert (tmp_path / "images" / "view_000.jpg").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, cheap):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="choose a folder"):
            render_scene(path, views=2, size=(64, 64))


def test_a_folder_with_empty_folders_only_is_empty(tmp_path, cheap):
    (tmp_path / "results").mkdir()
    assert render_scene(tmp_path, views=2, size=(64, 64)).cameras_file.exists()


def test_a_finished_scene_is_replaced_only_on_request(tmp_path, cheap):
    render_scene(tmp_path, views=3, size=(64, 64))
    (tmp_path / "features.h5").write_text("mine")
    with pytest.raises(UsageError, match="overwrite=True"):
        render_scene(tmp_path, views=2, size=(64, 64))
    render_scene(tmp_path, views=2, size=(64, 64), overwrite=True)
    assert len(load_cameras(tmp_path / "cameras.json")) == len(list((tmp_path / "images").iterdir())) == 2
    assert (tmp_path / "features.h5").read_text() == "mine"


def test_an_interrupted_scene_does_not_look_complete_and_is_rendered_again(tmp_path, cheap):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_scene(tmp_path, views=3, size=(64, 64), progress=interrupt)
    assert not (tmp_path / "cameras.json").exists()
    assert len(render_scene(tmp_path, views=2, size=(64, 64)).cameras) == 2
    assert len(list((tmp_path / "images").iterdir())) == 2
