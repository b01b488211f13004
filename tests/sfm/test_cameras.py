"""Which images share a camera, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.metadata import Metadata, read_metadata
from xfeat_cli.sfm.cameras import CameraGroup, check_model, group_images, make_camera
from xfeat_cli.sfm.config import CameraConfig, CameraSharing

pytest.importorskip("pycolmap", reason="cameras need the extra [sfm]")

BIG, SMALL = (640, 480), (320, 240)


def _shared(metadata: dict[str, Metadata], sharing: str = "auto") -> list[tuple[str, ...]]:
    sizes = {name: said.size or BIG for name, said in metadata.items()}
    return [group.names for group in group_images(sizes, metadata, CameraConfig(sharing=CameraSharing(sharing)))]


def _phone(focal: float, lens: str = "wide", size: tuple[int, int] = BIG) -> Metadata:
    return Metadata(size, "maker", "phone", lens, focal, focal * 7)


def test_exif_that_agrees_makes_one_camera_across_folders() -> None:
    photographs = {
        "a/1.jpg": _phone(4.0),
        "b/2.jpg": _phone(4.0),
        "b/zoomed.jpg": _phone(8.0),
        "b/other_lens.jpg": _phone(4.0, "tele"),
        "b/turned.jpg": _phone(4.0, size=(480, 640)),
    }
    assert _shared(photographs) == [("a/1.jpg", "b/2.jpg"), ("b/other_lens.jpg",), ("b/turned.jpg",), ("b/zoomed.jpg",)]


def test_without_exif_one_size_in_one_folder_is_one_camera_if_encoded_alike() -> None:
    alike = {f"{folder}/{i}.png": Metadata(BIG, encoder="x") for folder in "ab" for i in range(3)}
    assert [len(names) for names in _shared(alike)] == [3, 3]
    mixed = {**alike, "a/small.png": Metadata(SMALL, encoder="x"), "a/phone.jpg": _phone(4.0)}
    assert sorted(len(names) for names in _shared(mixed)) == [1, 1, 3, 3]
    gathered = {f"{i}.jpg": Metadata(BIG, encoder=str(i)) for i in range(5)}
    assert [len(names) for names in _shared(gathered)] == [1] * 5
    mostly = {f"{i}.jpg": Metadata(BIG, encoder="x" if i < 3 else str(i)) for i in range(5)}
    assert [len(names) for names in _shared(mostly)] == [5]


@pytest.mark.parametrize(("sharing", "counts"), [("single", [3]), ("per-folder", [2, 1]), ("per-image", [1, 1, 1])])
def test_what_is_asked_for(sharing: str, counts: list[int]) -> None:
    names = {"a/1.png": Metadata(BIG), "a/2.png": _phone(4.0), "b/3.png": Metadata(BIG)}
    assert [len(group) for group in _shared(names, sharing)] == counts


def test_jpegs_of_other_tables_were_encoded_in_another_way(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    encoders = []
    for quality in (90, 90, 60):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(tmp_path / "a.jpg", quality=quality)
        encoders.append(read_metadata(tmp_path / "a.jpg").encoder)
    assert encoders[0] == encoders[1] != encoders[2]


def test_an_image_that_colmap_cannot_read_has_a_camera_by_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    Image.new("RGB", (320, 240)).save(tmp_path / "a.webp", exif=exif)
    metadata = {"a.webp": read_metadata(tmp_path / "a.webp")}
    group = CameraGroup(("a.webp",), (320, 240), "")
    camera = make_camera(group, metadata, tmp_path, CameraConfig())
    assert camera.mean_focal_length() == pytest.approx(28 / 43.27 * 400)
    assert camera.has_prior_focal_length
    assert (camera.width, camera.height, camera.principal_point_x) == (320, 240, 160)


def test_given_parameters_are_those_of_the_model() -> None:
    config = CameraConfig("PINHOLE", params="500, 501,320.5,240.25")  # type: ignore[arg-type]
    camera = make_camera(CameraGroup(("a.png",), BIG, ""), {"a.png": Metadata(BIG)}, Path(), config)
    assert camera.params.tolist() == [500, 501, 320.5, 240.25]
    assert camera.has_prior_focal_length
    with pytest.raises(SfmError, match=r"holds 2 numbers, but the camera model PINHOLE has 4"):
        check_model(CameraConfig("PINHOLE", params=(1.0, 2.0)))
    with pytest.raises(SfmError, match="no camera model 'FISHY'; it has"):
        check_model(CameraConfig("FISHY"))
    with pytest.raises(UsageError, match="params is 'a,b'"):
        CameraConfig(params="a,b")  # type: ignore[arg-type]


def test_damaged_files_and_exif_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1 nothing")
    assert read_metadata(tmp_path / "a.jpg") == Metadata()
    assert read_metadata(tmp_path / "none.jpg") == Metadata()
