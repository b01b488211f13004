"""Photographs whose up is unknown are turned so that those that show the same match."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli import XFeat, extract
from xfeat_cli.coordinates import to_upright
from xfeat_cli.demo import arc, build_scene, render_view
from xfeat_cli.jobs.match import match
from xfeat_cli.store.reader import FeaturesReader, MatchesReader
from xfeat_cli.types import Matches

SIZE = (480, 320)


@pytest.fixture(scope="module")
def views() -> list[np.ndarray]:
    scene = build_scene(SIZE)
    return [render_view(scene, camera)[0] for camera in arc(5, SIZE, seed=0)]


def _save(folder: Path, images: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        cv2.imwrite(str(folder / name), image)
    return folder


def _orientations(features: Path) -> dict[str, int]:
    with FeaturesReader(features) as reader:
        return {name: reader.load(name).orientation for name in reader.names()}


def _alternately_turned(views: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The quarters, counterclockwise, are 0, 1, 0, 2, 3."""
    return {f"{i}.png": np.rot90(view, (0, 1, 0, 2, 3)[i]) for i, view in enumerate(views)}


@pytest.mark.parametrize("mode", ["sparse", "semi-dense"])
def test_a_photograph_and_itself_turned_keep_their_matches(views: list[np.ndarray], tmp_path: Path, mode: str) -> None:
    images = _save(tmp_path / "images", {f"{quarters}.png": np.rot90(views[0], quarters) for quarters in range(4)})
    extract(images, tmp_path / "out.h5", mode=mode, device="cpu")
    with FeaturesReader(tmp_path / "out.h5") as reader:
        upright = reader.load("0.png")
        for quarters in (1, 2, 3):
            turned = reader.load(f"{quarters}.png")
            assert turned.image_size == (SIZE if quarters == 2 else SIZE[::-1])
            x, y = turned.keypoints.T
            points = np.stack(to_upright(x, y, turned.image_size, turned.orientation), 1)
            np.testing.assert_allclose(points, upright.keypoints, atol=1e-3)
            assert len(XFeat(mode=mode, device="cpu").match(upright, turned)) > 0.95 * len(upright)


def test_an_alternately_turned_folder_matches_as_the_upright_one(views: list[np.ndarray], tmp_path: Path) -> None:
    upright = _save(tmp_path / "upright", {f"{i}.png": view for i, view in enumerate(views)})
    turned = _save(tmp_path / "turned", _alternately_turned(views))
    assert extract(upright, tmp_path / "upright.h5", device="cpu").turned == 0
    assert extract(turned, tmp_path / "turned.h5", device="cpu").turned == 3
    assert [*_orientations(tmp_path / "turned.h5").values()] == [1, 6, 1, 3, 8]
    pairs = [(f"{i}.png", f"{i + 1}.png") for i in range(4)]
    counts = []
    for name in ("upright", "turned"):
        match(pairs, tmp_path / f"{name}.h5", tmp_path / f"{name}-matches.h5", device="cpu")
        with MatchesReader(tmp_path / f"{name}-matches.h5") as reader:
            counts.append([len(reader.load(*pair)) for pair in pairs])
    assert min(counts[0]) > 100
    assert counts[1] == counts[0]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_turned_newcomer_stands_as_those_that_are_there(
    views: list[np.ndarray], tmp_path: Path, workers: int
) -> None:
    images = _save(tmp_path / "images", {"a.png": views[1], "b.png": views[2]})
    extract(images, tmp_path / "out.h5", device="cpu")
    _save(images, {f"0{i}.png": np.rot90(views[i]) for i in range(4)})
    assert extract(images, tmp_path / "out.h5", device="cpu", workers=workers).turned == 4
    expected = {"00.png": 6, "01.png": 6, "02.png": 6, "03.png": 6, "a.png": 1, "b.png": 1}
    assert _orientations(tmp_path / "out.h5") == expected


def test_none_on_request(views: list[np.ndarray], tmp_path: Path) -> None:
    images = _save(tmp_path / "images", _alternately_turned(views))
    assert extract(images, tmp_path / "out.h5", device="cpu", rotations="0").turned == 0
    assert set(_orientations(tmp_path / "out.h5").values()) == {1}


@pytest.mark.parametrize("rotations", ["auto", "4"])
def test_what_shows_something_else_stays(views: list[np.ndarray], tmp_path: Path, rotations: str) -> None:
    rng = np.random.default_rng(0)
    others = {
        f"{i}.png": cv2.resize(rng.integers(0, 255, (40, 60), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
        for i in range(4)
    }
    nothing = {"flat.png": np.full((64, 64), 9, np.uint8)}
    images = _save(tmp_path / "images", {**others, **nothing, "view.png": views[0]})
    assert extract(images, tmp_path / "out.h5", device="cpu", rotations=rotations).turned == 0
    assert set(_orientations(tmp_path / "out.h5").values()) == {1}


def test_matches_of_an_image_that_was_turned_since_are_made_again(views: list[np.ndarray], tmp_path: Path) -> None:
    """Two pairs stand apart from each other until photographs between them show how they are turned."""
    from xfeat_cli.errors import ProvenanceError

    images = _save(tmp_path / "images", {"0.png": views[0], "1.png": np.rot90(views[1])})
    pairs = [("0.png", "1.png")]
    extract(images, tmp_path / "out.h5", device="cpu", image_list=["0.png"])
    extract(images, tmp_path / "out.h5", device="cpu")
    match(pairs, tmp_path / "out.h5", tmp_path / "matches.h5", device="cpu")
    extract(images, tmp_path / "out.h5", device="cpu", overwrite=True, image_list=["1.png"])
    extract(images, tmp_path / "out.h5", device="cpu")
    assert _orientations(tmp_path / "out.h5") == {"0.png": 8, "1.png": 1}
    with pytest.raises(ProvenanceError, match=r"another version of 0\.png"):
        match(pairs, tmp_path / "out.h5", tmp_path / "matches.h5", device="cpu")


def test_matches_are_of_the_stored_frames(views: list[np.ndarray], tmp_path: Path) -> None:
    images = _save(tmp_path / "images", {"0.png": views[0], "1.png": np.rot90(views[0], -1)})
    extract(images, tmp_path / "out.h5", device="cpu")
    match([("0.png", "1.png")], tmp_path / "out.h5", tmp_path / "matches.h5", device="cpu")
    with FeaturesReader(tmp_path / "out.h5") as features, MatchesReader(tmp_path / "matches.h5") as matches:
        found = matches.load("0.png", "1.png")
        assert isinstance(found, Matches)
        x, y = features.load("0.png").keypoints[found.indices[:, 0]].T
        turned = features.load("1.png").keypoints[found.indices[:, 1]]
    np.testing.assert_allclose(turned, np.stack([SIZE[1] - 1 - y, x], 1), atol=1e-3)
