from __future__ import annotations

from pathlib import Path

import pytest

from xfeat_cli.errors import PairsError
from xfeat_cli.pairing.lists import can_be_listed, exhaustive, read_pairs, sequential, unique, write_pairs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.txt"


def _refusal(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(PairsError) as error:
        read_pairs(file)
    assert str(file) in str(error.value)
    return str(error.value)


def test_reads_blank_lines_comments_and_any_whitespace(file: Path) -> None:
    file.write_text("# a list\n\n  \na.jpg b.jpg\n  # indented comment\n  a.jpg \t c/d.jpg  \r\nb.jpg   e.jpg")
    assert read_pairs(file) == [("a.jpg", "b.jpg"), ("a.jpg", "c/d.jpg"), ("b.jpg", "e.jpg")]


def test_tabs_separate_names_with_spaces(file: Path) -> None:
    file.write_text("my photo.jpg\tyour photo.jpg\nüb er.jpg \t\t b.jpg\n", encoding="utf-8")
    assert read_pairs(file) == [("my photo.jpg", "your photo.jpg"), ("üb er.jpg", "b.jpg")]


def test_a_byte_order_mark_is_no_part_of_a_name(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfa.jpg b.jpg\r\n")
    assert read_pairs(file) == [("a.jpg", "b.jpg")]


def test_a_pair_counts_once_in_the_order_it_came_first(file: Path) -> None:
    file.write_text("b a\nc a\na b\nb a\na c\n")
    assert read_pairs(file) == [("b", "a"), ("c", "a")]
    assert unique([("z", "y"), ("y", "z")]) == [("z", "y")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a b\n\n# c\nonly-one.jpg\n", "line 4: 1 names"),
        (b"a b c\n", "line 1: 3 names"),
        (b"a b\na b\tc\td\n", "line 2: 3 names"),
        (b"a b\nsame.jpg same.jpg\n", "line 2: pairs same.jpg with itself"),
        (b"", "holds no pairs"),
        (b"# only a comment\n\n", "holds no pairs"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "UTF-8"),
    ],
)
def test_bad_lists_are_refused_with_the_line(file: Path, content: bytes, reason: str) -> None:
    assert reason in _refusal(file, content)


def test_a_missing_list_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"none\.txt does not exist.*xfeat pairs"):
        read_pairs(tmp_path / "none.txt")
    with pytest.raises(PairsError, match="cannot be read"):
        read_pairs(tmp_path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "pairs.txt"
    pairs = [("a.jpg", "b.jpg"), ("my photo.jpg", "c.jpg"), ("d.jpg", "日本 語/x.jpg"), ("no\u00a0break.jpg", "a#b")]
    assert write_pairs(file, iter(pairs)) == 4
    assert read_pairs(file) == pairs
    assert file.read_text(encoding="utf-8").startswith("a.jpg b.jpg\nmy photo.jpg\tc.jpg\n")


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", " a", "a ", "#a"])
def test_names_that_no_line_can_hold_are_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    assert not can_be_listed(name)
    file = tmp_path / "pairs.txt"
    file.write_text("a b\n")
    with pytest.raises(PairsError, match="cannot stand in a list"):
        write_pairs(file, [("c", "d"), ("e", name)])
    assert file.read_text() == "a b\n"
    assert list(tmp_path.iterdir()) == [file]


def test_an_unwritable_list_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PairsError, match="cannot be written"):
        write_pairs(tmp_path / "file" / "pairs.txt", [("a", "b")])


def test_exhaustive() -> None:
    assert list(exhaustive("abcd")) == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert list(exhaustive(["a"])) == []


def test_sequential() -> None:
    assert list(sequential("abcd", 2)) == [("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert list(sequential("abcd", 1)) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert list(sequential("abc", 99)) == list(exhaustive("abc"))


def test_quadratic_sequences_look_powers_of_two_ahead() -> None:
    names = [f"{i:02}" for i in range(20)]
    ahead = [int(b) - int(a) for a, b in sequential(names, 4, quadratic=True) if a == "00"]
    assert ahead == [1, 2, 3, 4, 8]
    ahead = [int(b) - int(a) for a, b in sequential(names, 10, quadratic=True) if a == "01"]
    assert ahead == [*range(1, 11), 16]
    pairs = list(sequential(names, 6, quadratic=True))
    assert len(set(pairs)) == len(pairs)
    assert list(sequential(names, 2, quadratic=True)) == list(sequential(names, 2))
