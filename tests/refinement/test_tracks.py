from __future__ import annotations

import numpy as np

from xfeat_cli.refinement.tracks import Tracks, parts_of


def test_groups_equal_those_found_one_link_at_a_time() -> None:
    rng = np.random.default_rng(0)
    for count, links in ((50, 30), (400, 390), (400, 1500)):
        ends = rng.integers(0, count, (links, 2))
        tracks = Tracks(np.arange(count))
        for portion in np.array_split(ends, 7):
            tracks.connect(*portion.T)
        group = np.arange(count)
        for one, two in ends:
            low, high = sorted((group[one], group[two]))
            group[group == high] = low
        assert np.array_equal(tracks.roots(np.arange(count)), group)


def test_a_long_chain_is_one_group() -> None:
    chain = np.arange(5000)
    tracks = Tracks(np.arange(5000))
    tracks.connect(chain[:-1][::-1], chain[1:][::-1])
    assert (tracks.roots(chain) == 0).all()


def test_parts_hold_at_most_so_many_links_or_one_group() -> None:
    counts = np.array([3, 0, 4, 5, 20, 1, 2, 0, 0, 9])
    parts = parts_of(counts, 10)
    assert parts.tolist() == sorted(parts)
    totals = np.bincount(parts, counts)
    assert totals.sum() == counts.sum()
    assert all(total <= 10 or (parts == number).sum() == 1 for number, total in enumerate(totals))
    assert (parts_of(counts, 1000) == 0).all()
    assert len(parts_of(np.zeros(0, np.int64), 10)) == 0
