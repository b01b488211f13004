"""Parts of a job on several machines, and their merging: the result equals that of one machine."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.errors import ProvenanceError, StoreError, UsageError
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.match import match
from xfeat_cli.pairing.lists import exhaustive
from xfeat_cli.scale.merge import merge
from xfeat_cli.scale.shards import Shard, extract_shard, match_shard
from xfeat_cli.store.layout import FEATURES
from xfeat_cli.store.pieces import MANIFEST, PieceFolder, cut, pieces_folder
from xfeat_cli.store.writer import Store

from ..hdf5_content import content

OPTIONS = {"top_k": 40, "device": "cpu"}
NAMES = ["a.png", "b.png", "c.png", "sub/d.png", "sub/e.png"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photograph: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub").mkdir()
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(folder / name), photograph[8 * number : 8 * number + 96, :128])
    return folder


def test_a_list_is_cut_into_equal_contiguous_slices() -> None:
    items = [str(number) for number in range(10)]
    slices = cut(items, 4)
    assert [(piece.first, piece.last) for piece in slices] == [(0, 2), (2, 5), (5, 7), (7, 10)]
    assert len({piece.file for piece in slices}) == 4
    assert cut(items, 4) == slices
    assert cut([*items[:9], "other"], 4)[:3] == slices[:3]
    assert cut([*items[:9], "other"], 4)[3].file != slices[3].file
    assert [(piece.first, piece.last) for piece in cut(items[:2], 4)] == [(0, 1), (1, 2)]
    assert cut([], 3) == []


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/4/2", "1e3/4", "1/99999999999"])
def test_impossible_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"shard=.*write I/N"):
        Shard.parse(text)


def test_shards_merged_equal_one_machine(photos: Path, tmp_path: Path) -> None:
    extract(photos, tmp_path / "whole.h5", rotations="0", **OPTIONS)
    for number in (2, 1, 3):
        extract_shard(photos, tmp_path / "out.h5", Shard(number, 3), **OPTIONS)
    assert not (tmp_path / "out.h5").exists()
    summary = merge(tmp_path / "out.h5")
    assert (summary.total, summary.done, summary.count, summary.failures) == (3, 3, 5, [])
    assert content(tmp_path / "out.h5") == content(tmp_path / "whole.h5")

    pairs = list(exhaustive(NAMES))
    match(pairs, tmp_path / "whole.h5", tmp_path / "whole-matches.h5", device="cpu")
    for number in (1, 2):
        match_shard(pairs, tmp_path / "out.h5", tmp_path / "matches.h5", Shard(number, 2), device="cpu")
    merge(tmp_path / "matches.h5")
    assert content(tmp_path / "matches.h5") == content(tmp_path / "whole-matches.h5")

    one, two = pairs[0]
    ordered, sides = [(one, two), (two, one), (one, one)], {"features0": tmp_path / "out.h5", "device": "cpu"}
    match(ordered, tmp_path / "whole.h5", tmp_path / "whole-two.h5", **sides)
    for number in (1, 2):
        match_shard(ordered, tmp_path / "whole.h5", tmp_path / "two.h5", Shard(number, 2), **sides)
    assert merge(tmp_path / "two.h5").count == 3
    assert content(tmp_path / "two.h5") == content(tmp_path / "whole-two.h5")


def test_more_shards_than_images_is_no_error(photos: Path, tmp_path: Path) -> None:
    totals = [extract_shard(photos, tmp_path / "out.h5", Shard(n, 8), **OPTIONS).total for n in range(1, 9)]
    assert sorted(totals) == [0, 0, 0, 1, 1, 1, 1, 1]
    assert merge(tmp_path / "out.h5").done == 5


def test_missing_pieces_are_named(photos: Path, tmp_path: Path) -> None:
    extract_shard(photos, tmp_path / "out.h5", Shard(1, 3), **OPTIONS)
    with pytest.raises(StoreError, match=r"2 of 3 pieces are not finished: piece-000000001-000000003-\w+\.h5, .*shard"):
        merge(tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    summary = merge(tmp_path / "out.h5", allow_missing=True)
    assert (summary.done, len(summary.failures)) == (1, 2)


def test_an_interrupted_merge_goes_on(photos: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        extract_shard(photos, tmp_path / "out.h5", Shard(number, 2), **OPTIONS)
    merge(tmp_path / "whole.h5", tmp_path / "out.h5.pieces")

    class Stop:
        def start(self, total: int) -> None:
            pass

        def update(self, report: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(tmp_path / "out.h5", listener=Stop())
    assert not (tmp_path / "out.h5").exists()
    assert merge(tmp_path / "out.h5").skipped == 1
    assert content(tmp_path / "out.h5") == content(tmp_path / "whole.h5")


def test_pieces_of_other_options_are_refused_by_name(photos: Path, tmp_path: Path) -> None:
    extract_shard(photos, tmp_path / "out.h5", Shard(1, 2), **OPTIONS)
    extract_shard(photos, tmp_path / "out.h5", Shard(2, 2), **{**OPTIONS, "top_k": 30})
    with pytest.raises(ProvenanceError, match=r"differs from piece-000000000.*top_k 30, there 40"):
        merge(tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_another_list_or_number_of_shards_is_refused(photos: Path, tmp_path: Path) -> None:
    extract_shard(photos, tmp_path / "out.h5", Shard(1, 2), **OPTIONS)
    with pytest.raises(ProvenanceError, match=r"pieces 2, now 3"):
        extract_shard(photos, tmp_path / "out.h5", Shard(1, 3), **OPTIONS)
    with pytest.raises(ProvenanceError, match=r"items 5, now 4"):
        extract_shard(photos, tmp_path / "out.h5", Shard(1, 2), image_list=NAMES[:4], **OPTIONS)
    extract_shard(photos, tmp_path / "out.h5", Shard(1, 3), overwrite=True, **OPTIONS)
    extract_shard(photos, tmp_path / "out.h5", Shard(2, 3), **OPTIONS)
    extract_shard(photos, tmp_path / "out.h5", Shard(3, 3), **OPTIONS)
    assert merge(tmp_path / "out.h5").count == 5


def test_a_folder_of_anything_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder of pieces"):
        merge(tmp_path / "out.h5")
    folder = pieces_folder(tmp_path / "out.h5")
    folder.mkdir()
    with pytest.raises(StoreError, match=f"holds no {MANIFEST}"):
        merge(tmp_path / "out.h5")
    for manifest in ("", "[]", "{}", '{"pieces": ["../outside.h5"]}', '{"pieces": [7]}', "[" * 100_000):
        (folder / MANIFEST).write_text(manifest)
        with pytest.raises(StoreError, match=MANIFEST):
            PieceFolder(folder).pieces()


def test_a_damaged_piece_is_named(tmp_path: Path) -> None:
    folder = PieceFolder(pieces_folder(tmp_path / "out.h5"))
    slices = cut(["a", "b"], 2)
    folder.claim("features", ["a", "b"], slices)
    entry = {"keypoints": np.zeros((1, 2), np.float32), "descriptors": np.ones((64, 1), np.float16)}
    with Store.open(folder.folder / slices[0].file, FEATURES, {}) as store:
        store.put("a", entry)
        store.finish()
    (folder.folder / slices[1].file).write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 500)
    with pytest.raises(StoreError, match=slices[1].file):
        merge(tmp_path / "out.h5")
    assert json.loads((folder.folder / MANIFEST).read_text())["items"] == 2
