"""Which photographs are mapped together, and why others have no pose."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from xfeat_cli.sfm.components import split
from xfeat_cli.sfm.unregistered import explain
from xfeat_cli.sfm.verified import PairTable


def _graph(links: dict[tuple[int, int], tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pairs = np.array([*links], np.int64).reshape(-1, 2)
    counts = np.array([*links.values()], np.int64).reshape(-1, 2)
    return pairs, counts[:, 0], counts[:, 1]


def _scene(images: range) -> dict[tuple[int, int], tuple[int, int]]:
    return dict.fromkeys(combinations(images, 2), (1000, 700))


def test_scenes_that_only_chance_joins_are_apart() -> None:
    chance = {(a, b): (300, 38) for a in range(5) for b in range(5, 9)}
    assert split(9, *_graph({**_scene(range(5)), **_scene(range(5, 9)), **chance})) == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


def test_one_sure_link_joins_and_weak_images_go_with_their_best_partner() -> None:
    joined = {**_scene(range(4)), **_scene(range(4, 8)), (3, 4): (60, 30)}
    assert split(8, *_graph(joined)) == [list(range(8))]
    weak = {**_scene(range(4)), **_scene(range(4, 7)), (0, 7): (300, 20), (5, 7): (300, 30), (1, 8): (300, 9)}
    assert split(9, *_graph(weak)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_one_scene_is_whole_however_weak_its_links() -> None:
    assert split(5, *_graph({(i, i + 1): (400, 20) for i in range(4)})) == [[0, 1, 2, 3, 4]]
    assert split(3, *_graph({})) == []


def test_the_reason_is_the_first_thing_that_is_missing() -> None:
    names = ["a", "b", "blank", "lonely", "odd", "other", "weak"]
    links = {(0, 1): (900, 500), (0, 4): (40, 6), (0, 6): (80, 40)}
    pairs, matches, inliers = _graph(links)
    table = PairTable(names, np.array([9, 9, 0, 9, 9, 9, 9]), pairs, matches, inliers)
    reasons = {image.name: image.reason for image in explain(table, [{"a", "b"}, {"other"}])}
    assert list(reasons) == ["blank", "lonely", "odd", "other", "weak"]
    assert reasons["blank"] == "it has no keypoints"
    assert reasons["lonely"] == "it matches no other photograph"
    assert "none of its 1 pairs was verified" in reasons["odd"]
    assert "another model, 1" in reasons["other"]
    assert reasons["weak"] == "its best pair, with a, has 40 verified matches: too few of them are points of the model"
