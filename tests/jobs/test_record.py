"""The record of a reconstruction's stages: what it notices, what it lets nobody replace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xfeat_cli.errors import UsageError
from xfeat_cli.jobs.record import NAME, Record, check_folder, key_of
from xfeat_cli.pairing.config import PairConfig, PairKind


def test_a_changed_emptied_or_missing_file_is_noticed_and_a_touched_one_is_the_same(tmp_path: Path) -> None:
    made = tmp_path / "pairs.txt"
    made.write_text("a b\n")
    record = Record(tmp_path)
    assert not record.is_intact("pairs")
    record.begin("pairs", "key")
    assert not record.is_intact("pairs")
    record.finish("pairs", "key", {"pairs": 1}, ["a line"], [made])
    os.utime(made, (1, 1))
    again = Record(tmp_path)
    entry = again.entry("pairs")
    assert entry is not None
    assert (entry.key, entry.result, entry.problems) == ("key", {"pairs": 1}, ["a line"])
    assert again.is_intact("pairs")
    for content in ("", "a c\n", "a b\nc d\n"):
        made.write_text(content)
        assert not again.is_intact("pairs")
    made.unlink()
    assert not again.is_intact("pairs")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stages": 3}', '{"stages": {"pairs": {"key": 1}}}'])
def test_a_damaged_record_knows_of_no_stage(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    assert Record(tmp_path).entry("pairs") is None


def test_a_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    names = ["database.db", "sparse"]
    check_folder(tmp_path / "new", names)
    (tmp_path / "images").mkdir()
    check_folder(tmp_path, names)
    (tmp_path / "sparse").mkdir()
    with pytest.raises(UsageError, match=r"holds sparse, which `xfeat sfm` did not make"):
        check_folder(tmp_path, names)
    (tmp_path / NAME).write_text('{"of": "another tool"}')
    with pytest.raises(UsageError, match="left alone"):
        check_folder(tmp_path, names)
    Record(tmp_path).start("images")
    check_folder(tmp_path, names)
    (tmp_path / NAME).write_text("")
    with pytest.raises(UsageError, match="left alone"):
        check_folder(tmp_path, names)
    (tmp_path / f".{NAME}.lock").touch()  # as writers leave it
    check_folder(tmp_path, names)
    with pytest.raises(UsageError, match="is a file"):
        check_folder(tmp_path / NAME, names)


def test_keys_are_of_values_and_not_of_their_order() -> None:
    assert key_of(a=1, b=Path("x")) == key_of(b="x", a=1)
    assert key_of(options={"kind": PairKind.RETRIEVAL}) == key_of(options={"kind": "retrieval"})
    assert key_of(config=str(PairConfig())) != key_of(config=str(PairConfig(num=3)))
