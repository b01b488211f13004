"""Outputs appear whole or not at all, and replace nothing that they must not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from xfeat_cli.errors import UsageError
from xfeat_cli.files import FileKind, check_output, file_kind, whole_file, write_text

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


def test_a_file_appears_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with whole_file(path, FileKind.TEXT) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["list.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path, FileKind.TEXT) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["list.txt"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_fifo_is_written_directly(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_text()))
    reader.start()
    write_text(fifo, "through")
    reader.join(10)
    assert received == ["through"]
    assert not fifo.is_file()


def test_a_dash_is_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(Path("-"), "out")
    assert capfdbinary.readouterr().out == b"out"
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("spelling", ["in.txt", "./in.txt", "sub/../in.txt", "link.txt"])
def test_an_input_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "in.txt").write_text("mine")
    (tmp_path / "link.txt").symlink_to("in.txt")
    with pytest.raises(UsageError, match="is an input of this command"):
        write_text(Path(spelling), "new", [tmp_path / "in.txt"])
    assert (tmp_path / "in.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", FileKind.EMPTY),
        ("a b\nü".encode(), FileKind.TEXT),
        (PNG, FileKind.PNG),
        (b"\x89HDF\r\n\x1a\n...", FileKind.HDF5),
        (b"SQLite format 3\0", FileKind.DATABASE),
        (b"PK\x03\x04", FileKind.CHECKPOINT),
        (b"\x02\0\0\0\0\0\0\0{\"x", FileKind.SAFETENSORS),
        (b"\xff\xd8\xff\xe0\0", FileKind.OTHER),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: bytes, kind: FileKind) -> None:
    path = tmp_path / "there"
    path.write_bytes(content)
    assert file_kind(path) is kind
    for wanted in (FileKind.TEXT, FileKind.PNG, FileKind.HDF5):
        if kind in (wanted, FileKind.EMPTY):
            check_output(path, wanted)
        else:
            with pytest.raises(UsageError, match="so it is left alone"):
                check_output(path, wanted)
    assert path.read_bytes() == content


def test_a_long_text_may_be_cut_within_a_character(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"x" * 4095 + "ü".encode() * 10)
    assert file_kind(path) is FileKind.TEXT


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path, FileKind.TEXT)
