from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from xfeat_cli.errors import PairsError
from xfeat_cli.pairing.lists import can_be_listed, exhaustive, read_pairs, sequential, unique, write_pairs
from xfeat_cli.photo_names import KnownNames, natural_key


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
        (b"same.jpg same.jpg\n", "holds no pairs"),
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


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", " a", "a ", "\udcff.jpg"])
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


def test_a_pair_of_an_image_with_itself_costs_itself_only(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("a b\nb b\nc d\n./e e\n")
    assert read_pairs(file, KnownNames(["a", "b", "c", "d", "e"])) == [("a", "b"), ("c", "d")]
    assert "with itself are left out (line 2, 4)" in caplog.text


def test_names_that_begin_with_a_hash(file: Path) -> None:
    names = ["#1.jpg", "#2.jpg", "a.jpg"]
    pairs = [("#1.jpg", "a.jpg"), ("#1.jpg", "#2.jpg")]
    assert write_pairs(file, pairs) == 2
    assert read_pairs(file) == [("a.jpg", "#1.jpg"), ("#2.jpg", "#1.jpg")]
    assert read_pairs(file, KnownNames(names)) == read_pairs(file)
    file.write_text("a.jpg b.jpg\n#a.jpg c.jpg\n# two words\n#notes begin here\n")
    assert read_pairs(file, KnownNames(["a.jpg", "b.jpg", "c.jpg"])) == [("a.jpg", "b.jpg")]


@pytest.mark.parametrize(
    "spelling",
    [
        "./sub/ü.jpg",
        "/data/photos/sub/ü.jpg",
        "photos/sub/ü.jpg",
        "data/photos/sub/ü.jpg",
        "sub\\ü.jpg",
        "sub/u\u0308.jpg",
    ],
)
def test_every_spelling_of_a_name_is_known(file: Path, spelling: str) -> None:
    file.write_text(f"{spelling}\tb.jpg\n", encoding="utf-8")
    assert read_pairs(file, KnownNames(["sub/ü.jpg", "b.jpg"], "/data/photos")) == [("sub/ü.jpg", "b.jpg")]


def test_two_names_that_differ_only_in_their_normal_form_are_told_apart() -> None:
    known = KnownNames(["ü.jpg", "u\u0308.jpg"])
    assert known.find("ü.jpg") == "ü.jpg"
    assert known.find("u\u0308.jpg") == "u\u0308.jpg"
    assert known.find("./ü.jpg") is None


def test_sequences_are_in_natural_order_folder_by_folder() -> None:
    names = [
        "b/frame_2.jpg",
        "b/frame_10.jpg",
        "frame_1.jpg",
        "a10/f1.jpg",
        "a9/F_1.jpg",
        "a9/f_01.jpg",
        "b/frame_1.jpg",
    ]
    ordered = [
        "frame_1.jpg",
        "a9/F_1.jpg",
        "a9/f_01.jpg",
        "a10/f1.jpg",
        "b/frame_1.jpg",
        "b/frame_2.jpg",
        "b/frame_10.jpg",
    ]
    assert list(sequential(names, 1)) == list(pairwise(ordered))
    natural_key("9" * 10_000)  # longer than Python turns into a number
