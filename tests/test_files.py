"""Outputs appear whole or not at all, and replace nothing that they must not; lists are read as people write them."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from xfeat_cli import files
from xfeat_cli.errors import UsageError
from xfeat_cli.files import FileKind, check_output, file_kind, read_text, warn_once, whole_file, write_text


def _samples(folder: Path) -> dict[FileKind, list[Path]]:
    """Files of every kind, by kind."""
    for suffix in ("png", "jpg", "tif", "webp"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"photo.{suffix}")
    h5py.File(folder / "a.h5", "w").close()
    written: dict[str, bytes] = {
        "empty": b"",
        "pairs.txt": b"# pairs\n\na.jpg b.jpg\nmy photo.jpg\tyour photo.jpg\n",
        "bom.txt": b"\xef\xbb\xbfa.jpg b.jpg\r\n",
        "images.txt": b"a.jpg\nb.jpg\n",
        "notes.txt": "Ein Satz über etwas.\n".encode() * 1000,
        "cameras.json": b' {"a.jpg": 1}',
        "new.db": b"SQLite format 3\0" + bytes(100),
        "model.pt": b"PK\x03\x04" + bytes(100),
        "model.safetensors": (2).to_bytes(8, "little") + b'{"' + bytes(10),
        "binary": bytes(range(256)),
        "latin1.txt": b"\xfcber",
    }
    for name, data in written.items():
        (folder / name).write_bytes(data)
    kinds = {
        FileKind.EMPTY: ["empty"],
        FileKind.PAIRS: ["pairs.txt", "bom.txt"],
        FileKind.TEXT: ["images.txt", "notes.txt"],
        FileKind.JSON: ["cameras.json"],
        FileKind.PNG: ["photo.png"],
        FileKind.HDF5: ["a.h5"],
        FileKind.DATABASE: ["new.db"],
        FileKind.CHECKPOINT: ["model.pt"],
        FileKind.SAFETENSORS: ["model.safetensors"],
        FileKind.OTHER: ["photo.jpg", "photo.tif", "photo.webp", "binary", "latin1.txt"],
    }
    return {kind: [folder / name for name in names] for kind, names in kinds.items()}


def test_the_kind_of_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    for kind, paths in _samples(tmp_path).items():
        assert [file_kind(path) for path in paths] == [kind] * len(paths)


def test_an_output_replaces_only_its_own_kind(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    for kind in FileKind:
        for there, paths in samples.items():
            for path in paths:
                if there in (kind, FileKind.EMPTY):
                    check_output(path, kind)
                else:
                    with pytest.raises(UsageError, match=f"holds {there.value}, not {kind.value}, so it is left"):
                        check_output(path, kind)


def test_a_text_replaces_a_text_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    write_text(path, '{"a": 1}')
    write_text(path, '{"b": 2}')
    with pytest.raises(UsageError, match="holds JSON"):
        write_text(path, "a.jpg b.jpg\n")
    assert path.read_text() == '{"b": 2}'


def test_an_output_is_never_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "a.txt"
    source.write_text("a b\n")
    (tmp_path / "link").symlink_to("a.txt")
    (tmp_path / "sub").mkdir()
    for spelling in ("a.txt", "./a.txt", "sub/../a.txt", "link", str(source)):
        with pytest.raises(UsageError, match="is an input of this command"):
            write_text(Path(spelling), "c d\n", [source])
    with pytest.raises(UsageError, match="is an input"):  # also where neither is there
        check_output(Path("new"), FileKind.PAIRS, [tmp_path / "sub" / ".." / "new"])
    assert source.read_text() == "a b\n"


def test_symbolic_links_are_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "a b\n")
    assert link.is_symlink()
    assert target.read_text() == "a b\n"


def test_a_pipe_is_written_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "a b\n")
    reader.join()
    assert read == ["a b\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_dash_is_stdout_and_stdin(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture) -> None:
    with whole_file(Path("-"), FileKind.PAIRS) as file:
        file.write(b"a b\n")
    assert capfdbinary.readouterr().out == b"a b\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfc d\r\n")))
    assert read_text(Path("-")) == "c d\r\n"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="closed"):
        read_text(Path("-"))


def test_a_failed_output_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    write_text(path, "a b\n")
    with pytest.raises(TypeError), whole_file(path, FileKind.PAIRS) as file:
        file.writelines([b"c ", None])  # type: ignore[list-item]
    assert path.read_text() == "a b\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_does_not_sync_folders_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(fd)

    monkeypatch.setattr(files.os, "fsync", fsync)
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            write_text(tmp_path / "pairs.txt", f"a{number} b\n")
    assert len(caplog.records) == 1
    assert "does not sync folders" in caplog.text


def test_a_file_appears_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with whole_file(path, FileKind.TEXT) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["list.txt"]


def test_a_long_text_may_be_cut_within_a_character(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"x" * 4095 + "ü".encode() * 10)
    assert file_kind(path) is FileKind.PAIRS  # its only line goes on


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path, FileKind.TEXT)
