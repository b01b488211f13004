from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xfeat_cli.cameras import load_cameras
from xfeat_cli.errors import UsageError

CAMERA: dict[str, Any] = {
    "K": [[500, 0, 320], [0, 500, 240], [0, 0, 1]],
    "R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "t": [0, 0, 0],
    "size": [640, 480],
}


def _load(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({"a.jpg": {**CAMERA, **changes}}))
    load_cameras(path)


def test_a_sound_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("\ufeff" + json.dumps({"a.jpg": CAMERA}), encoding="utf-8")
    assert load_cameras(tmp_path / "c.json")["a.jpg"].size == (640, 480)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"R": [[float("nan")] * 3] * 3}, "'a.jpg': R is no rotation"),
        ({"R": [[1, 0, 0], [0, 1, 0], [0, 0, -1]]}, "R is no rotation"),
        ({"R": [[2, 0, 0], [0, 2, 0], [0, 0, 2]]}, "R is no rotation"),
        ({"t": [10**400, 0, 0]}, "not a cameras.json"),
        ({"t": [1e308] * 3}, "t is not finite or beyond all measure"),
        ({"t": [float("inf")] * 3}, "t is not finite"),
        ({"K": [[0, 0, 0]] * 3}, "K is no calibration"),
        ({"K": [[500, 0, 320], [0, 500, 240], [0, 0, 2]]}, "K does not end in 0 0 1"),
        ({"size": [0, 480]}, "size is no image's"),
        ({"size": [1e300, 480]}, "size is no image's"),
        ({"size": "640x480"}, "not a cameras.json"),
    ],
)
def test_numbers_that_no_camera_has_are_one_error(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        _load(tmp_path / "c.json", **changes)


def test_brackets_without_end_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[" * 200_000)
    with pytest.raises(UsageError, match=r"not a cameras\.json"):
        load_cameras(tmp_path / "c.json")
