"""`xfeat view` on every kind of input, and on what is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from xfeat_cli.cli.app import app
from xfeat_cli.errors import XFeatError
from xfeat_cli.store.layout import FEATURES, MATCHES, features_entry, matches_entry
from xfeat_cli.store.names import pair_name
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, Matches

NAMES = ["a.jpg", "b.jpg", "sub/<script>.jpg"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with photos/, features.h5, matches.h5 (two pairs) and pairs.txt."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    points = rng.uniform(0, 99, (40, 2)).astype(np.float32)
    with Store.open(tmp_path / "features.h5", FEATURES, {}) as store:
        for name in NAMES:
            cv2.imwrite(str(tmp_path / "photos" / name), rng.integers(0, 255, (80, 120, 3), np.uint8))
            features = Features(points, np.linspace(1, 0, 40, dtype=np.float32), np.zeros((40, 64)), (120, 80))
            store.put(name, features_entry(features), {}, {"keypoints": {"uncertainty": 1.2}})
        store.finish()
    with Store.open(tmp_path / "matches.h5", MATCHES, {}) as store:
        for count, pair in ((30, NAMES[:2]), (12, NAMES[1:])):
            matches = Matches(np.stack([np.arange(count)] * 2, 1).astype(np.int32), np.ones(count, np.float32))
            store.put(pair_name(*pair), matches_entry(matches, 40))
        store.finish()
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg\n")
    return tmp_path


def _pictures(arguments: Sequence[str | Path], expected: int = 0) -> list[Path]:
    result = CliRunner().invoke(app, ["view", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == expected, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    for path in paths:
        assert cv2.imread(str(path)) is not None
    return paths


def test_named_images_and_a_contact_sheet(files: Path) -> None:
    named = _pictures([files / "features.h5", *NAMES[1:], "--images", files / "photos", "-o", files / "pics"])
    assert [path.name for path in named] == ["b.jpg.png", "sub-script-.jpg.png"]
    assert _pictures([files / "features.h5", "-o", files / "sheet.png"]) == [files / "sheet.png"]


def test_pictures_without_photographs_are_drawn_on_plain_areas(files: Path) -> None:
    assert _pictures([files / "features.h5", "a.jpg", "-o", files / "a.png"])


def test_a_missing_photograph_is_reported_and_costs_nothing(files: Path) -> None:
    (files / "photos" / "a.jpg").unlink()
    assert len(_pictures([files / "features.h5", "--images", files / "photos", "-o", files / "p"], expected=1)) == 1


def test_matches_as_a_pair_the_best_pairs_and_a_matrix(files: Path) -> None:
    assert _pictures([files / "matches.h5", *NAMES[:2], "-o", files / "pair.png"])
    best = _pictures([files / "matches.h5", "--most", "1", "-o", files / "best"])
    assert [path.name for path in best] == ["a.jpg--b.jpg.png"]
    assert len(_pictures([files / "matches.h5", "b.jpg", "-o", files / "of-b"])) == 2
    assert [path.name for path in _pictures([files / "matches.h5", "-o", files / "m"])] == ["matrix.png"]


def test_a_list_of_pairs(files: Path) -> None:
    assert _pictures([files / "pairs.txt", "-o", files / "m.png"]) == [files / "m.png"]


def test_layers_of_the_network(files: Path) -> None:
    drawn = _pictures(
        [files / "features.h5", "a.jpg", "--images", files / "photos", "--heatmap", "--reliability", "-o", files / "l"]
    )
    assert [path.name for path in drawn] == ["a.jpg.png", "a.jpg.heatmap.png", "a.jpg.reliability.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["features.h5", "c.jpg"], "did you mean"),
        (["features.h5", "a.jpg", "--heatmap"], "add --images"),
        (["features.h5", "a.jpg", "b.jpg", "-o", "one.png"], "give a folder"),
        (["matches.h5", "a.jpg", "sub/<script>.jpg"], "holds no pair"),
        (["nothing.h5"], "does not exist"),
        (["photos"], "no COLMAP model"),
        (["pairs.txt", "-o", "features.h5/x"], "cannot be written"),
    ],
)
def test_wrong_usage_is_one_line(
    files: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(XFeatError, match=message) as error:
        CliRunner().invoke(app, ["view", *arguments], catch_exceptions=False)
    assert "\n" not in str(error.value)


def test_an_input_is_never_overwritten(files: Path) -> None:
    cv2.imwrite(str(files / "photo.png"), np.zeros((64, 64), np.uint8))
    with pytest.raises(XFeatError, match="is an input"):
        _pictures([files / "photo.png", "-o", files / "photo.png"])
