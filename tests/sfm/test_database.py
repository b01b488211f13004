"""What a COLMAP database holds, read by pycolmap and compared with the HDF5 files read by h5py alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from xfeat_cli.config import Mode
from xfeat_cli.demo import DemoScene
from xfeat_cli.errors import SfmError, StoreError
from xfeat_cli.jobs.colmap import export_colmap
from xfeat_cli.sfm.config import CameraSharing

from .. import hloc_reader

pycolmap = pytest.importorskip("pycolmap", reason="databases need the extra [sfm]")


@pytest.fixture
def files(reconstructed: dict[Mode, Path], tmp_path: Path) -> Path:
    """Copies of the scene's features.h5 and matches.h5, to be damaged at will."""
    for name in ("features.h5", "matches.h5"):
        shutil.copy(reconstructed[Mode.SPARSE] / name, tmp_path / name)
    return tmp_path


def _hloc_matches(path: Path, name0: str, name1: str) -> np.ndarray:
    return hloc_reader.matches(path, name0, name1)[0]


@pytest.mark.parametrize(
    ("mode", "features", "matches"),
    [(Mode.SPARSE, "features.h5", "matches.h5"), (Mode.SEMI_DENSE, "keypoints.h5", "aggregated.h5")],
)
def test_keypoints_are_moved_by_half_a_pixel_once_and_matches_are_those_of_the_file(
    reconstructed: dict[Mode, Path], mode: Mode, features: str, matches: str
) -> None:
    folder = reconstructed[mode]
    with pycolmap.Database.open(folder / "database.db") as database, h5py.File(folder / features, "r") as stored:
        images = database.read_all_images()
        assert len(images) == 4
        assert database.num_frames() == 4
        assert database.num_rigs() == 1
        for image in images:
            keypoints = stored[image.name]["keypoints"][()]
            assert keypoints.dtype == np.float32
            np.testing.assert_allclose(database.read_keypoints(image.image_id)[:, :2], keypoints + 0.5, atol=1e-4)
        for one in images:
            for two in images:
                if one.image_id < two.image_id:
                    in_database = database.read_matches(one.image_id, two.image_id)
                    expected = _hloc_matches(folder / matches, one.name, two.name)
                    assert set(map(tuple, in_database.tolist())) == set(map(tuple, expected.tolist()))


def test_an_existing_database_is_left_alone(files: Path, scene: DemoScene) -> None:
    database = files / "new.db"
    arguments = (files / "features.h5", files / "matches.h5", database, scene.images)
    export_colmap(*arguments)
    before = database.read_bytes()
    with pytest.raises(SfmError, match=r"exists; use overwrite=True"):
        export_colmap(*arguments)
    assert database.read_bytes() == before
    export_colmap(*arguments, overwrite=True)
    assert [path.name for path in files.glob(".*db*")] == [".new.db.lock"]


def test_a_failed_import_leaves_no_database(files: Path, scene: DemoScene) -> None:
    with h5py.File(files / "matches.h5", "a") as file:
        for name in list(file):
            del file[name]
    with pytest.raises(SfmError, match="no matches"):
        export_colmap(files / "features.h5", files / "matches.h5", files / "new.db", scene.images)
    assert sorted(path.name for path in files.iterdir()) == [".new.db.lock", "features.h5", "matches.h5"]


def test_what_cannot_go_in_is_reported_and_the_rest_goes_in(files: Path, scene: DemoScene) -> None:
    names = sorted(scene.cameras)
    with h5py.File(files / "features.h5", "a") as file:
        del file[names[0]]
        for key, shape in (("keypoints", (0, 2)), ("descriptors", (64, 0)), ("scores", (0,))):
            del file[names[1]][key]
            file[names[1]].create_dataset(key, shape, np.float32)
        file.copy(names[2], "not/in/folder.jpg")
    summary = export_colmap(files / "features.h5", files / "matches.h5", files / "new.db", scene.images)
    problems = "\n".join(summary.imported.problems)
    assert f"{names[0]} is not in" in problems
    assert f"{names[1]} has no keypoints" in problems
    assert "not/in/folder.jpg is in" in problems
    assert f"{names[1]} {names[2]} refers to keypoints" in problems
    assert (summary.imported.images, summary.imported.pairs) == (3, 1)


def test_images_whose_pair_names_collide_are_named(files: Path, scene: DemoScene, tmp_path: Path) -> None:
    names = sorted(scene.cameras)
    images = tmp_path / "images"
    shutil.copytree(scene.images, images)
    (images / "a").mkdir()
    for twin in ("a/b.jpg", "a-b.jpg"):
        shutil.copy(scene.images / names[0], images / twin)
        with h5py.File(files / "features.h5", "a") as file:
            file.copy(names[0], twin)
    with h5py.File(files / "matches.h5", "a") as file:
        file.copy(f"{names[0]}/{names[1]}", f"a-b.jpg/{names[1]}")
    summary = export_colmap(files / "features.h5", files / "matches.h5", files / "new.db", images)
    assert any("rename one of these images" in problem for problem in summary.imported.problems)
    assert summary.imported.pairs == 6


def test_verified_matches_are_written_back(files: Path, scene: DemoScene) -> None:
    summary = export_colmap(
        files / "features.h5",
        files / "matches.h5",
        files / "new.db",
        scene.images,
        filtered_matches=files / "inliers.h5",
        sharing=CameraSharing.SINGLE,
    )
    assert summary.verified is not None
    assert summary.filtered_pairs == summary.verified.verified == 6
    names = sorted(scene.cameras)
    total = 0
    for i, name0 in enumerate(names):
        for name1 in names[i + 1 :]:
            kept = set(map(tuple, _hloc_matches(files / "inliers.h5", name0, name1).tolist()))
            assert kept <= set(map(tuple, _hloc_matches(files / "matches.h5", name0, name1).tolist()))
            total += len(kept)
    assert total == summary.verified.inliers


def _photographs(files: Path, scene: DemoScene, folders: tuple[str, ...], exif: dict[str, float]) -> Path:
    """The scene's views dealt out to folders, some with a focal length (mm on 35 mm film) in EXIF, and their files."""
    images = files / "images"
    with h5py.File(files / "features.h5", "a") as features, h5py.File(files / "matches.h5", "a") as matches:
        names = sorted(scene.cameras)
        for name, folder in zip(names, folders, strict=True):
            (images / folder).mkdir(parents=True, exist_ok=True)
            with Image.open(scene.images / name) as image:
                stated = Image.Exif()
                if folder in exif:
                    stated[0x010F], stated[0x0110] = "maker", f"camera {folder}"
                    stated.get_ifd(0x8769)[0xA405] = int(exif[folder])
                image.save(images / folder / name, exif=stated)
            features.move(name, f"{folder}/{name}")
        for name0, folder0 in zip(names, folders, strict=True):
            for name1, folder1 in zip(names, folders, strict=True):
                if f"{name0}/{name1}" in matches:
                    matches.move(f"{name0}/{name1}", f"{folder0}-{name0}/{folder1}-{name1}")
    return images


def _cameras(database: Path) -> dict[str, object]:
    """By image name, its camera."""
    with pycolmap.Database.open(database) as opened:
        return {image.name: opened.read_camera(image.camera_id) for image in opened.read_all_images()}


def test_a_camera_per_folder(files: Path, scene: DemoScene) -> None:
    images = _photographs(files, scene, ("left", "right", "left", "right"), {})
    database = files / "new.db"
    summary = export_colmap(
        files / "features.h5", files / "matches.h5", database, images, sharing=CameraSharing.PER_FOLDER
    )
    assert summary.imported.problems == []
    assert (summary.imported.cameras, summary.imported.pairs) == (2, 6)
    cameras = _cameras(database)
    by_folder = {
        folder: {camera.camera_id for name, camera in cameras.items() if name.startswith(folder)}
        for folder in ("left", "right")
    }
    assert [len(ids) for ids in by_folder.values()] == [1, 1]
    assert by_folder["left"] != by_folder["right"]
    with pycolmap.Database.open(database) as opened:
        assert (opened.num_rigs(), opened.num_frames()) == (2, 4)


def test_images_of_another_size_get_a_camera_of_their_own(files: Path, scene: DemoScene) -> None:
    """Without care the first image by name gives its size to the camera, and all the others are left out."""
    shutil.copytree(scene.images, files / "images")
    Image.new("L", (240, 320)).save(files / "images" / "a.png")
    with h5py.File(files / "features.h5", "a") as file:
        file.copy(file[min(scene.cameras)], "a.png")
        file["a.png/image_size"][:] = (240, 320)
    database = files / "new.db"
    summary = export_colmap(
        files / "features.h5", files / "matches.h5", database, files / "images", sharing=CameraSharing.SINGLE
    )
    assert summary.imported.problems == []
    assert (summary.imported.cameras, summary.imported.images, summary.imported.pairs) == (2, 5, 6)
    cameras = _cameras(database)
    assert len({camera.camera_id for name, camera in cameras.items() if name != "a.png"}) == 1
    assert (cameras["a.png"].width, cameras["a.png"].height) == (240, 320)


def test_nothing_to_match_is_one_error_each(files: Path, scene: DemoScene) -> None:
    with h5py.File(files / "matches.h5", "a") as file:
        for one in file:
            for two in file[one]:
                file[one][two]["matches0"][:] = -1
    with pytest.raises(SfmError, match="no match at all"):
        export_colmap(files / "features.h5", files / "matches.h5", files / "new.db", scene.images)
    with h5py.File(files / "features.h5", "a") as file:
        for name in scene.cameras:
            for key, shape in (("keypoints", (0, 2)), ("descriptors", (64, 0)), ("scores", (0,))):
                del file[name][key]
                file[name].create_dataset(key, shape, np.float32)
    with pytest.raises(SfmError, match=r"no image in .* has keypoints"):
        export_colmap(files / "features.h5", files / "matches.h5", files / "new.db", scene.images)
    assert not (files / "new.db").exists()


def test_the_focal_length_comes_from_exif(files: Path, scene: DemoScene) -> None:
    """28 mm on film, 43.27 mm across, are 28 / 43.27 of the 400 px across an image; without EXIF: 1.2 widths."""
    images = _photographs(files, scene, ("film28", "film28", "film50", "none"), {"film28": 28, "film50": 50})
    database = files / "new.db"
    summary = export_colmap(files / "features.h5", files / "matches.h5", database, images)
    assert summary.imported.cameras == 3
    focal = {name.split("/")[0]: camera for name, camera in _cameras(database).items()}
    assert focal["film28"].mean_focal_length() == pytest.approx(28 / 43.27 * 400, rel=0.01)
    assert focal["film50"].mean_focal_length() == pytest.approx(50 / 43.27 * 400, rel=0.01)
    assert focal["none"].mean_focal_length() == pytest.approx(1.2 * 320)
    stated = {name: camera.has_prior_focal_length for name, camera in focal.items()}
    assert stated == {"film28": True, "film50": True, "none": False}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"model": "FISHY"}, "no camera model"), ({"sharing": CameraSharing.SINGLE, "images": "none"}, "exist")],
)
def test_impossible_options(files: Path, scene: DemoScene, options: dict, message: str) -> None:
    options = {"images": scene.images, **options}
    with pytest.raises(Exception, match=message):
        export_colmap(files / "features.h5", files / "matches.h5", files / "new.db", **options)
    assert not (files / "new.db").exists()


def test_semi_dense_files_are_sent_to_aggregation(
    reconstructed: dict[Mode, Path], scene: DemoScene, tmp_path: Path
) -> None:
    folder = reconstructed[Mode.SEMI_DENSE]
    with pytest.raises(SfmError, match="xfeat aggregate"):
        export_colmap(folder / "features.h5", folder / "matches.h5", tmp_path / "new.db", scene.images)
    with pytest.raises(StoreError):
        export_colmap(folder / "nothing.h5", folder / "matches.h5", tmp_path / "new.db", scene.images)
