"""The blocked search for nearest others: exact answers, and memory that does not grow with the square of the items."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from xfeat_cli.pairing.neighbours import nearest_pairs, negative_squared_distances


@pytest.mark.parametrize("items", [2, 50, 1300])
def test_it_finds_what_sorting_everything_finds(items: int) -> None:
    points = np.random.default_rng(0).uniform(size=(items, 3))
    score = negative_squared_distances(points, points)
    np.fill_diagonal(score, -np.inf)
    count = min(7, items - 1)
    expected = {frozenset((i, int(j))) for i, row in enumerate(score) for j in np.argsort(-row)[:count]}
    found = list(nearest_pairs(items, 7, lambda r, c: negative_squared_distances(points[r], points[c])))
    assert {frozenset(pair) for pair in found} == expected
    assert len(found) == len(expected)


def test_of_equals_the_earlier_come_first_and_infinity_is_no_pair() -> None:
    equal = list(nearest_pairs(4, 2, lambda r, c: np.zeros((len(r), len(c)))))
    assert equal == [(0, 1), (0, 2), (1, 2), (3, 0), (3, 1)]
    assert not list(nearest_pairs(4, 2, lambda r, c: np.full((len(r), len(c)), -np.inf)))
    assert not list(nearest_pairs(0, 2, lambda r, c: np.zeros((len(r), len(c)))))


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    """Earth-centred positions are millions of metres long."""
    points = np.array([[6.378e6, 0.0], [6.378e6 + 0.5, 0.0], [6.378e6 + 1.25, 0.0]])
    np.testing.assert_allclose(negative_squared_distances(points, points)[0], [0, -0.25, -1.5625], atol=1e-8)


def test_memory_grows_with_the_items_and_not_with_their_square() -> None:
    def peak(items: int) -> int:
        points = np.random.default_rng(0).uniform(size=(items, 3))
        queries = np.arange(0, items, max(1, items // 600))
        tracemalloc.start()
        for _ in nearest_pairs(items, 20, lambda r, c: negative_squared_distances(points[r], points[c]), queries):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(100_000) < 1.2 * peak(10_000)
