from __future__ import annotations

import numpy as np

from xfeat_cli.pairing.turns import Turns


def test_at_first_nothing_is_known() -> None:
    turns = Turns(3)
    assert turns.groups() == [[0], [1], [2]]
    assert turns.quarters() == [0, 0, 0]
    assert not turns.joined(0, 1)


def test_most_images_stay_as_they_are() -> None:
    turns = Turns(5)
    turns.join(0, 1, 1)
    turns.join(1, 2, 0)
    turns.join(2, 3, 0)
    assert turns.groups() == [[0, 1, 2, 3], [4]]
    assert turns.quarters() == [3, 0, 0, 0, 0]


def test_of_as_many_the_first_stays() -> None:
    turns = Turns(4)
    turns.join(3, 2, 1)
    turns.join(2, 1, 0)
    turns.join(1, 0, 3)
    assert turns.quarters() == [0, 1, 1, 0]


def test_settled_images_stay_whatever_their_number() -> None:
    turns = Turns(4)
    turns.join(0, 1, 1)
    turns.join(1, 2, 0)
    assert turns.quarters() == [3, 0, 0, 0]
    assert turns.quarters({0, 3}) == [0, 1, 1, 0]


def test_joining_within_a_group_changes_nothing() -> None:
    turns = Turns(2)
    turns.join(0, 1, 1)
    turns.join(0, 1, 2)
    turns.join(1, 0, 0)
    assert turns.quarters() == [0, 1]


def test_any_order_of_joining_gives_the_same() -> None:
    """Quarters of 12 images are known; every chain of joins must find them, up to what the group has in common."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 12)
    for _ in range(20):
        turns = Turns(12)
        order = rng.permutation(12)
        for place, image in enumerate(order[1:], 1):
            other = rng.choice(order[:place])
            turns.join(int(other), int(image), int(truth[image] - truth[other]) % 4)
        quarters = np.array(turns.quarters())
        assert len(set((quarters - truth) % 4)) == 1
        assert (quarters == 0).sum() == np.bincount(truth).max()
