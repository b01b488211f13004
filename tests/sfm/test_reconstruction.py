"""`xfeat sfm` from photographs to a model that is right."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.config import ExtractConfig, MatchConfig, Mode
from xfeat_cli.coordinates import to_colmap
from xfeat_cli.demo import DemoScene, render_scene
from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.evaluation.sfm import score_model
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.pairing.config import PairConfig, PairKind
from xfeat_cli.sfm.config import (
    CameraConfig,
    CameraSharing,
    Mapper,
    MappingConfig,
    SfmConfig,
    VerificationConfig,
)
from xfeat_cli.sfm.database import build_database
from xfeat_cli.sfm.reconstruction import map_database, read_model
from xfeat_cli.sfm.verification import verify

pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")

SINGLE = CameraConfig("PINHOLE", CameraSharing.SINGLE)
SFM = SfmConfig(
    extraction=ExtractConfig(top_k=1500, device="cpu"),
    refinement=None,
    cameras=SINGLE,
    verification=VerificationConfig(threads=2),
    mapping=MappingConfig(threads=2),
)


@pytest.mark.parametrize("mode", list(Mode))
def test_every_image_is_registered_where_it_was_taken(
    scene: DemoScene, reconstructed: dict[Mode, Path], mode: Mode
) -> None:
    score = score_model(reconstructed[mode] / "sparse" / "0", scene.cameras_file)
    assert (score.registered, score.images) == (4, 4)
    assert score.rotation_deg_mean is not None
    assert score.rotation_deg_mean < 3
    assert score.position_error_mean is not None
    assert score.position_error_mean < 0.1
    assert score.points > 200
    assert score.mean_track_length > 2
    assert score.reprojection_px < 1.5


def test_a_second_run_reuses_every_file_and_other_options_redo_only_what_they_change(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(reconstructed[Mode.SPARSE], folder)
    before = (folder / "sparse" / "0" / "images.bin").stat().st_mtime_ns
    summary = reconstruct(scene.images, folder, SFM)
    assert all(stage.reused for stage in summary.stages)
    assert summary.model is not None
    assert summary.model.registered == 4
    assert (folder / "sparse" / "0" / "images.bin").stat().st_mtime_ns == before
    (folder / "database.db").unlink()
    again = reconstruct(scene.images, folder, SFM)
    assert [stage.name for stage in again.stages if not stage.reused] == ["import", "verify"]
    other = replace(SFM, mapping=MappingConfig(Mapper.GLOBAL, threads=2))
    mapped = reconstruct(scene.images, folder, other)
    assert [stage.name for stage in mapped.stages if not stage.reused] == ["reconstruct"]


def test_only_what_a_new_image_changes_is_made_again(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    images, output = tmp_path / "images", tmp_path / "out"
    shutil.copytree(scene.images, images)
    shutil.copytree(reconstructed[Mode.SEMI_DENSE], output)
    cv2.imwrite(str(images / "zz_gray.png"), np.full((240, 320), 128, np.uint8))
    (images / "broken.jpg").write_bytes(b"no image")
    extraction = ExtractConfig(mode=Mode.SEMI_DENSE, top_k=1200, device="cpu")
    summary = reconstruct(images, output, replace(SFM, extraction=extraction, matching=MatchConfig(device="cpu")))
    assert not any(stage.reused for stage in summary.stages)
    assert any("broken.jpg" in problem for problem in summary.problems)
    assert summary.model is not None
    assert (summary.model.registered, summary.model.images) == (4, 5)


def test_the_global_mapper_registers_every_image(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    database = shutil.copy(reconstructed[Mode.SPARSE] / "database.db", tmp_path / "database.db")
    model = map_database(Path(database), scene.images, tmp_path / "sparse", MappingConfig(Mapper.GLOBAL, threads=2))
    assert model.registered == 4


def test_the_seed_decides_the_model(scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path) -> None:
    folder = reconstructed[Mode.SPARSE]

    def run(seed: int) -> tuple[int, bytes]:
        database = tmp_path / "database.db"
        database.unlink(missing_ok=True)
        build_database(folder / "features.h5", folder / "matches.h5", database, scene.images, SINGLE)
        inliers = verify(database, VerificationConfig(threads=2, seed=seed)).inliers
        map_database(database, scene.images, tmp_path / "sparse", MappingConfig(threads=2, seed=seed))
        model = tmp_path / "sparse" / "0"
        return inliers, b"".join((model / f"{part}.bin").read_bytes() for part in ("images", "points3D"))

    inliers, model = run(0)
    assert run(0) == (inliers, model)
    other_inliers, other_model = run(1)
    assert other_inliers != inliers
    assert other_model != model


def test_the_principal_point_of_cropped_photographs_is_found(tmp_path: Path) -> None:
    scene = render_scene(tmp_path / "scene", views=6, size=(320, 240))  # with four, chance moves it by 10 px
    crop = 40
    (tmp_path / "images").mkdir()
    for name in scene.cameras:
        cv2.imwrite(str(tmp_path / "images" / name), cv2.imread(str(scene.images / name))[:, crop:])
    true_x = to_colmap(next(iter(scene.cameras.values())).K[0, 2] - crop)
    found = {}
    for refine in (False, True):
        output = tmp_path / str(refine)
        mapping = MappingConfig(refine_principal_point=refine, threads=2)
        reconstruct(tmp_path / "images", output, replace(SFM, mapping=mapping))
        [camera] = read_model(output / "sparse" / "0").cameras.values()
        score = score_model(output / "sparse" / "0", scene.cameras_file)
        found[refine] = camera.principal_point_x, score.rotation_deg_mean
    assert found[False][0] == (320 - crop) / 2
    assert abs(found[True][0] - true_x) < 6
    assert found[True][1] < 0.7 * found[False][1]


def test_one_image_or_no_overlap_is_one_clear_error(scene: DemoScene, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(scene.images / "view_000.jpg", images)
    with pytest.raises(SfmError, match="at least two"):
        reconstruct(images, tmp_path / "out", SFM)
    noise = np.random.default_rng(0).integers(0, 255, (240, 320), np.uint8)
    cv2.imwrite(str(images / "noise.png"), cv2.GaussianBlur(noise, (0, 0), 2))
    with pytest.raises(SfmError, match=r"overlap|no matches"):
        reconstruct(images, tmp_path / "two", replace(SFM, extraction=ExtractConfig(top_k=300)))
    with pytest.raises(UsageError, match="not a folder"):
        reconstruct(images / "noise.png", tmp_path / "out")


def test_images_whose_names_collide_are_left_out_and_the_rest_goes_on(scene: DemoScene, tmp_path: Path) -> None:
    images, names = tmp_path / "images", sorted(scene.cameras)
    for name, original in zip(("1.jpg", "2.jpg", "3.jpg", "a/b.jpg", "a-b.jpg"), [*names, names[3]], strict=True):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scene.images / original, images / name)
    for kind in (PairKind.EXHAUSTIVE, PairKind.RETRIEVAL):
        output = tmp_path / kind.value
        summary = reconstruct(images, output, replace(SFM, pairing=PairConfig((kind,))))
        [problem] = summary.problems
        assert "'a-b.jpg' and 'a/b.jpg' were left out" in problem
        assert summary.model is not None
        assert (summary.model.registered, summary.model.images) == (3, 5)
    for name in ("1.jpg", "2.jpg"):
        (images / name).unlink()
    with pytest.raises(SfmError, match=r"no two images .* rename one"):
        reconstruct(images, tmp_path / "none", SFM)


def test_a_sequence_is_paired_with_what_follows_and_what_looks_alike(scene: DemoScene, tmp_path: Path) -> None:
    pairing = PairConfig("sequential", overlap=1, loop_closure=1, loop_period=1)
    config = replace(SFM, extraction=ExtractConfig(top_k=800, device="cpu"), pairing=pairing)
    reconstruct(scene.images, tmp_path / "out", config)
    names = sorted(scene.cameras)
    places = [sorted(map(names.index, line.split())) for line in (tmp_path / "out/pairs.txt").read_text().splitlines()]
    assert places[:3] == [[0, 1], [1, 2], [2, 3]]
    assert places[3:]
    assert all(two - one > 1 for one, two in places[3:])


@pytest.mark.parametrize("make", [PairConfig, MappingConfig, CameraConfig, VerificationConfig])
def test_configs_check_themselves(make: type) -> None:
    """Strings become enums or are refused: read as they stand they would silently mean another option."""
    assert PairConfig("sequential+retrieval").kinds == (PairKind.SEQUENTIAL, PairKind.RETRIEVAL)
    assert MappingConfig("global").mapper is Mapper.GLOBAL
    assert CameraConfig(sharing="single").sharing is CameraSharing.SINGLE
    wrong = {
        PairConfig: {"kinds": "alphabetical"},
        MappingConfig: {"mapper": "local"},
        CameraConfig: {"sharing": "some"},
        VerificationConfig: {"seed": -1},
    }
    with pytest.raises(UsageError, match=next(iter(wrong[make]))):
        make(**wrong[make])
