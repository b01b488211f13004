"""A folder that is used again: what has changed is noticed and made again, and nothing else is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from xfeat_cli.config import Mode
from xfeat_cli.demo import DemoScene
from xfeat_cli.errors import LockedError, SfmError, UsageError
from xfeat_cli.jobs.record import NAME
from xfeat_cli.jobs.sfm import reconstruct
from xfeat_cli.jobs.summary import SfmSummary
from xfeat_cli.pairing.config import PairConfig
from xfeat_cli.sfm.reconstruction import read_model
from xfeat_cli.store.lock import OutputLock
from xfeat_cli.store.reader import KeypointsReader, MatchesReader

from .test_reconstruction import SFM

pytest.importorskip("pycolmap", reason="reconstruction needs the extra [sfm]")


@pytest.fixture
def images(scene: DemoScene, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scene.images, tmp_path / "images"))


@pytest.fixture
def output(reconstructed: dict[Mode, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(reconstructed[Mode.SPARSE], tmp_path / "out"))


def _made(summary: SfmSummary) -> list[str]:
    return [stage.name for stage in summary.stages if not stage.reused]


def _registered(output: Path) -> list[str]:
    return sorted(image.name for image in read_model(output / "sparse" / "0").images.values())


def test_removed_and_changed_photographs(images: Path, output: Path) -> None:
    names = sorted(path.name for path in images.iterdir())
    (images / names[3]).unlink()
    cv2.imwrite(str(images / names[2]), cv2.GaussianBlur(cv2.imread(str(images / names[2])), (3, 3), 0))
    summary = reconstruct(images, output, SFM)
    assert summary.notes[-2:] == [
        f"photographs of the last run that are no longer there: {names[3]}",
        f"photographs of the last run that are changed: {names[2]}",
    ]
    assert _registered(output) == names[:3]
    with KeypointsReader(output / "features.h5") as features, MatchesReader(output / "matches.h5") as matches:
        assert features.names() == names[:3]
        assert len(matches.names()) == 3
    extracted = summary.stages[0].result
    assert (extracted["done"], extracted["already_there"]) == (1, 2)


def test_another_folder(images: Path, output: Path) -> None:
    for path in sorted(images.iterdir()):
        path.rename(images / f"b_{path.name}")
    summary = reconstruct(images, output, SFM)
    assert f"from now on it is of {images.resolve()}" in summary.notes[0]
    assert all(name.startswith("b_") for name in _registered(output))


@pytest.mark.parametrize("harm", ["emptied", "damaged"])
def test_stage_files_that_were_harmed_are_made_again(scene: DemoScene, output: Path, harm: str) -> None:
    """All at once: each stage must notice for itself."""
    models = output / "sparse" / "0"
    for path in (
        output / "features.h5",
        output / "pairs.txt",
        output / "matches.h5",
        output / "database.db",
        models / "images.bin",
    ):
        path.write_bytes(b"" if harm == "emptied" else path.read_bytes()[: path.stat().st_size // 2])
    summary = reconstruct(scene.images, output, SFM)
    assert _made(summary) == ["extract", "pairs", "match", "import", "verify", "reconstruct"]
    assert len(_registered(output)) == 4
    assert _made(reconstruct(scene.images, output, SFM)) == []


def test_a_lost_record_costs_no_feature(scene: DemoScene, output: Path) -> None:
    (output / NAME).write_text("")
    assert _made(reconstruct(scene.images, output, SFM)) == ["pairs", "reconstruct"]


def test_other_pairs_leave_features_and_go_through_to_the_model(scene: DemoScene, output: Path) -> None:
    summary = reconstruct(scene.images, output, replace(SFM, pairing=PairConfig("sequential", overlap=2)))
    assert "extract" not in _made(summary)
    with MatchesReader(output / "matches.h5") as matches:
        assert len(matches.names()) == 5
    assert summary.stages[2].result["done"] == 0  # the five were there
    assert [stage.result["pairs"] for stage in summary.stages if stage.name == "verify"] == [5]


def test_other_options_of_a_stage_are_told_and_redone(scene: DemoScene, output: Path) -> None:
    extraction = replace(SFM.extraction, top_k=700)
    summary = reconstruct(scene.images, output, replace(SFM, extraction=extraction))
    assert any("top_k 1500, now 700" in note for note in summary.notes)
    assert len(_registered(output)) == 4


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_project_of_someone_else_is_left_alone(scene: DemoScene, tmp_path: Path, overwrite: bool) -> None:
    project = tmp_path / "project"
    theirs = {name: project / name for name in ("database.db", "sparse/0/NOTES.txt", "pairs.txt")}
    for path in theirs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    with pytest.raises(UsageError, match=r"database\.db, pairs\.txt, sparse, which `xfeat sfm` did not make"):
        reconstruct(scene.images, project, SFM, overwrite=overwrite)
    assert [path.read_text() for path in theirs.values()] == ["mine"] * 3
    assert sorted(path.name for path in project.iterdir()) == ["database.db", "pairs.txt", "sparse"]


def test_a_foreign_database_or_model_put_in_place_of_ours_is_left_alone(scene: DemoScene, output: Path) -> None:
    import pycolmap

    (output / "database.db").unlink()
    pycolmap.Database.open(output / "database.db").close()
    before = (output / "database.db").read_bytes()
    with pytest.raises(SfmError, match="no longer the one"):
        reconstruct(scene.images, output, SFM)
    assert (output / "database.db").read_bytes() == before
    (output / "database.db").unlink()
    shutil.rmtree(output / "sparse")
    (output / "sparse/0").mkdir(parents=True)
    (output / "sparse/0/images.txt").write_text("# theirs\n")
    with pytest.raises(SfmError, match="left alone"):
        reconstruct(scene.images, output, SFM)
    assert (output / "sparse/0/images.txt").read_text() == "# theirs\n"


def test_what_a_user_puts_beside_a_model_stays(scene: DemoScene, output: Path) -> None:
    notes = output / "sparse" / "0" / "notes.txt"
    notes.write_text("mine")
    (output / "sparse" / "0" / "cameras.bin").unlink()
    assert _made(reconstruct(scene.images, output, SFM)) == ["reconstruct"]
    assert notes.read_text() == "mine"
    assert not list(output.glob(".sparse*"))


def test_a_second_run_in_a_folder_is_turned_away(scene: DemoScene, output: Path) -> None:
    with OutputLock(output / NAME), pytest.raises(LockedError, match="another process"):
        reconstruct(scene.images, output, SFM)
