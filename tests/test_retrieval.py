"""Nearest neighbours of pooled descriptors, with exact answers."""

from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli import retrieval
from xfeat_cli.retrieval import pool, similar_pairs


def test_a_pooled_descriptor_is_a_unit_vector_whatever_the_norms() -> None:
    descriptors = np.array([[10, 0, 0], [0, 0.5, 0]], np.float16)
    np.testing.assert_allclose(pool(descriptors), [2**-0.5, 2**-0.5, 0], atol=1e-6)
    assert not pool(np.zeros((0, 3), np.float32)).any()


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_do_not_show_in_the_result(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "_BLOCK", block)
    angles = np.radians([0, 10, 25, 90, 95, 170])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = list(similar_pairs("abcdef", vectors, 2))
    assert found == [tuple(pair) for pair in ("ab", "ac", "ba", "bc", "cb", "ca", "de", "dc", "ed", "ec", "fe", "fd")]


def test_images_without_features_match_nothing() -> None:
    vectors = np.array([[1, 0], [0, 0], [0.6, 0.8]], np.float32)
    assert list(similar_pairs(["a", "empty", "b"], vectors, 5)) == [("a", "b"), ("b", "a")]
    assert list(similar_pairs(["a"], vectors[:1], 5)) == []
