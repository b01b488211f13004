"""A database takes its name when it is whole, goes on where it stopped, and replaces nothing that is not ours."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from xfeat_cli.config import Mode
from xfeat_cli.demo import DemoScene
from xfeat_cli.errors import LockedError, SfmError, UsageError
from xfeat_cli.jobs import database as jobs_database
from xfeat_cli.jobs.colmap import export_colmap
from xfeat_cli.jobs.database import import_into, import_key
from xfeat_cli.sfm.config import CameraConfig, CameraSharing, VerificationConfig
from xfeat_cli.sfm.draft import Draft, count_rows, drafting, is_sound, read_notes

pycolmap = pytest.importorskip("pycolmap", reason="databases need the extra [sfm]")

CONFIG = CameraConfig(sharing=CameraSharing.SINGLE)
VERIFICATION = VerificationConfig(threads=1)


def _files(reconstructed: dict[Mode, Path]) -> tuple[Path, Path]:
    folder = reconstructed[Mode.SPARSE]
    return folder / "features.h5", folder / "matches.h5"


def test_a_run_that_stopped_in_verification_goes_on(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, files = tmp_path / "new.db", _files(reconstructed)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("xfeat_cli.jobs.colmap.verify_in", stop)
        with pytest.raises(KeyboardInterrupt):
            export_colmap(*files, database, scene.images, CONFIG, verification=VERIFICATION)
    assert not database.exists()
    before = Draft(database).notes()["import"]
    monkeypatch.setattr(jobs_database, "build_database", None)  # there is no second import
    summary = export_colmap(*files, database, scene.images, CONFIG, verification=VERIFICATION)
    assert summary.imported.pairs == before["summary"]["pairs"] == 6
    assert summary.verified is not None
    assert summary.verified.pairs == 6
    assert is_sound(database)
    assert count_rows(database, "two_view_geometries") == 6
    assert not Draft(database).path.exists()


def test_what_was_imported_with_other_options_is_imported_again(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    files = _files(reconstructed)
    with drafting(tmp_path / "new.db") as draft:
        for config, reused in ((CONFIG, False), (CONFIG, True), (CameraConfig("PINHOLE"), False)):
            key = import_key(*files, scene.images, config)
            assert import_into(draft, *files, scene.images, config, key)[1] == reused
    assert not (tmp_path / "new.db").exists()


def test_other_databases_and_files_are_never_replaced(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    pycolmap.Database.open(theirs).close()
    text, folder = tmp_path / "notes.db", tmp_path / "folder.db"
    text.write_text("mine")
    folder.mkdir()
    for path in (theirs, text, folder):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises((SfmError, UsageError), match=r"left alone|is a folder"), drafting(path, overwrite=True):
            raise AssertionError(f"{path} would be replaced")
        assert path.is_dir() or path.read_bytes() == before
    with pytest.raises(UsageError, match="is an input"), drafting(theirs, [tmp_path / "x/../theirs.db"]):
        raise AssertionError


def test_a_second_writer_is_turned_away(tmp_path: Path) -> None:
    with drafting(tmp_path / "new.db"), pytest.raises(LockedError), drafting(tmp_path / "new.db"):
        raise AssertionError


def test_lost_rows_and_damaged_pages_are_noticed(
    scene: DemoScene, reconstructed: dict[Mode, Path], tmp_path: Path
) -> None:
    database = Path(shutil.copy(reconstructed[Mode.SPARSE] / "database.db", tmp_path / "database.db"))
    pycolmap.Database.open(database).close()  # which writes, but changes nothing
    assert is_sound(database)
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("DELETE FROM two_view_geometries WHERE rowid IN (SELECT MIN(rowid) FROM two_view_geometries)")
    assert not is_sound(database)
    shutil.copy(reconstructed[Mode.SPARSE] / "database.db", database)
    with open(database, "r+b") as file:
        file.seek(8192)
        file.write(bytes(range(256)) * 40)
    assert not is_sound(database)
    database.write_bytes(b"")
    assert not is_sound(database)
    assert read_notes(database) == {}
