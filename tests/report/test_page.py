"""The folder of a report: whole, escaped, and nothing that the page may not run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.report.synthetic import SIZE, inputs_of, ring_model, ring_pairs
from xfeat_cli.report.content import build_content
from xfeat_cli.report.page import PageFolder, PictureFiles, level_turn

EVIL = "<script>alert(1)</script>\u2028\"'&.jpg"


def _page(folder: Path, *, evil: bool = False, listed: int = 1000) -> PageFolder:
    inputs = inputs_of(8, [ring_model(6, 60, 30)], ring_pairs(8))
    if evil:
        inputs.photos[7].name = EVIL
        inputs.problems = [EVIL]
        inputs.run["options"][EVIL] = EVIL
        inputs.folder = f"/out/{EVIL}"
    content = build_content(inputs)
    page = PageFolder(folder)
    page.put_model(0, inputs.models[0], {photo.name: n for n, photo in enumerate(inputs.photos)}, np.eye(3), 40)
    points = np.array([[0, 0], [SIZE[0] - 1, SIZE[1] - 1]], np.float32)
    page.put_keypoints(0, SIZE, points, points[:0])
    page.put_matches(0, (points, points), (SIZE, SIZE), np.array([True, False]))
    page.mark_drawn([0])
    page.finish(content, inputs, [PictureFiles("a.jpg", "b.jpg"), *[None] * 7], listed)
    return page


def _data(folder: Path, name: str) -> dict:
    text = (folder / "data" / f"{name}.js").read_text(encoding="ascii")
    found = re.fullmatch(r'xfeat\.put\("([^"]+)",(.*)\);\n', text, re.S)
    assert found is not None
    assert found[1] == name
    content = json.loads(found[2])
    assert isinstance(content, dict)
    return content


def test_all_parts_are_there(tmp_path: Path) -> None:
    _page(tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for source in re.findall(r'(?:src|href)="([^"#:]+)"', page):
        if source not in ("model.png", "model-dark.png"):
            assert (tmp_path / source).is_file()
    assert _data(tmp_path, "images")["thumbnail"][:2] == ["a.jpg", None]
    assert _data(tmp_path, "pairs")["inliers"] == [200] * 13
    assert _data(tmp_path, "model-0")["all_points"] == 60
    assert json.loads((tmp_path / "report.json").read_text())["format"] == "xfeat report"


def test_places_are_shares_of_the_image(tmp_path: Path) -> None:
    from base64 import b64decode

    _page(tmp_path)
    seen = np.frombuffer(b64decode(_data(tmp_path, "keypoints-0")["0"]["seen"]), "<u2").reshape(2, 2)
    assert seen / 65535 * SIZE == pytest.approx(np.array([[0.5, 0.5], [1199.5, 799.5]]), abs=0.02)


def test_names_run_nothing(tmp_path: Path) -> None:
    _page(tmp_path, evil=True)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert _data(tmp_path, "images")["name"][7] == EVIL


def test_only_scripts_with_the_nonce_run(tmp_path: Path) -> None:
    _page(tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy[1])
    assert nonce is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for script in re.findall(r"<script[^>]*>", page):
        assert f'nonce="{nonce[1]}"' in script
    assert " style=" not in page
    assert " onclick" not in page
    _page(tmp_path / "again")
    assert nonce[1] not in (tmp_path / "again" / "index.html").read_text(encoding="utf-8")


def test_the_page_is_built_without_markup_in_scripts() -> None:
    from importlib import resources

    static = resources.files("xfeat_cli.report") / "static"
    for name in ("core.js", "photographs.js", "pairs.js", "model.js", "quality.js", "map.js", "run.js"):
        source = (static / name).read_text(encoding="utf-8")
        for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "http:"):
            assert danger not in source.replace("http://www.w3.org/2000/svg", "")


def test_only_the_strongest_pairs_are_listed(tmp_path: Path) -> None:
    _page(tmp_path, listed=4)
    pairs = _data(tmp_path, "pairs")
    assert len(pairs["row"]) == len(pairs["image0"]) == 4
    assert pairs["left_out"] == 9


def test_a_model_is_levelled() -> None:
    turn = level_turn(ring_model(6, 60, 30), None)
    assert turn[1] == pytest.approx((0, 0, -1), abs=1e-6)
    assert level_turn(ring_model(6, 60, 30), np.eye(3).tolist())[1] == pytest.approx((0, 0, -1))
