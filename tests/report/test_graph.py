"""Components, bridges and weak links with exact answers, and against a plain search on random graphs."""

from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli.report.graph import Graph, WeakLink, build_graph, grouped


def _graph(count: int, pairs: list[tuple[int, int, int]]) -> Graph:
    columns = np.array(pairs, np.int64).reshape(-1, 3)
    return build_graph(count, columns[:, :2], columns[:, 2])


def test_a_triangle_has_no_bridge() -> None:
    graph = _graph(3, [(0, 1, 90), (0, 2, 90), (1, 2, 90)])
    assert graph.sizes == [3]
    assert graph.bridges == []
    assert graph.weak_links == []


def test_two_triangles_joined_by_one_weak_link() -> None:
    pairs = [(0, 1, 90), (0, 2, 90), (1, 2, 90), (2, 3, 20), (3, 4, 90), (3, 5, 90), (4, 5, 90)]
    graph = _graph(6, pairs)
    assert graph.bridges == [3]
    assert graph.weak_links == [WeakLink(3, 20, (3, 3))]
    assert graph.component.tolist() == [0] * 6


def test_two_weak_links_beside_each_other_are_one_weakness() -> None:
    pairs = [(0, 1, 90), (0, 2, 90), (1, 2, 90), (2, 3, 20), (1, 4, 30), (3, 4, 90), (3, 5, 90), (4, 5, 90)]
    graph = _graph(6, pairs)
    assert graph.bridges == []
    assert graph.weak_links == [WeakLink(4, 30, (3, 3))]


def test_components_are_numbered_by_size_and_too_few_matches_are_no_link() -> None:
    graph = _graph(6, [(0, 1, 14), (2, 3, 15), (3, 4, 15)])
    assert graph.sizes == [3, 1, 1, 1]
    assert graph.component.tolist() == [1, 2, 0, 0, 0, 3]


def test_no_image_and_no_pair() -> None:
    assert _graph(0, []).sizes == []
    assert _graph(2, []).component.tolist() == [0, 1]


def test_a_long_chain_needs_no_recursion() -> None:
    graph = _graph(20_000, [(n, n + 1, 99) for n in range(19_999)])
    assert len(graph.bridges) == 19_999


@pytest.mark.parametrize("seed", range(5))
def test_bridges_are_the_links_whose_removal_adds_a_component(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = {tuple(sorted(pair)) for pair in rng.integers(0, 30, (40, 2)).tolist() if pair[0] != pair[1]}
    pairs = [(a, b, 99) for a, b in sorted(found)]
    parts = len(_graph(30, pairs).sizes)
    without = [n for n in range(len(pairs)) if len(_graph(30, pairs[:n] + pairs[n + 1 :]).sizes) > parts]
    assert _graph(30, pairs).bridges == without


def test_groups_are_even_and_join_what_is_strongly_linked() -> None:
    images = np.array([(n, n + 1) for n in range(999)])
    group = grouped(1000, images, np.where(np.arange(999) % 10 == 9, 20, 300), 100)
    sizes = np.bincount(group)
    assert len(sizes) <= 200
    assert sizes.max() <= 20
    strong = group[images[:, 0]] == group[images[:, 1]]
    assert strong[np.arange(999) % 10 != 9].mean() > 0.8
