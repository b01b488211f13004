"""Pooled descriptors that tell scenes apart, their nearest neighbours with exact answers, loops in a sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.pairing import neighbours
from xfeat_cli.pairing.retrieval import DIMENSIONS, learn, loop_closures, retrieve, similar_pairs
from xfeat_cli.store.layout import FEATURES, features_entry
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features


def _scene(seed: int, images: int, length: int = 64) -> list[np.ndarray]:
    """Descriptors of images that show points around the same few hundred directions."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(300, length))
    return [
        (directions[rng.choice(300, 150)] + 0.5 * rng.normal(size=(150, length))).astype(np.float16)
        for _ in range(images)
    ]


def _write(path: Path, images: dict[str, np.ndarray]) -> Path:
    with Store.open(path, FEATURES, {}) as store:
        for name, descriptors in images.items():
            n = len(descriptors)
            features = Features(np.zeros((n, 2), np.float32), np.ones(n, np.float32), descriptors, (10, 10))
            store.put(name, features_entry(features))
        store.finish()
    return path


def test_pooled_descriptors_tell_scenes_apart_whatever_the_norms() -> None:
    scenes = [_scene(seed, 6) for seed in range(3)]
    pooling = learn([image for scene in scenes for image in scene])
    vectors = np.stack([pooling.pool(image) for scene in scenes for image in scene])
    assert vectors.shape[1] <= DIMENSIONS
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(pooling.pool(7 * scenes[0][0].astype(np.float32)), vectors[0], atol=2e-3)
    nearest = np.argsort(-(vectors @ vectors.T), axis=1)[:, :6]
    assert (nearest // 6 == np.arange(18)[:, None] // 6).all()


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_do_not_show_in_the_result(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS", block)
    monkeypatch.setattr(neighbours, "COLUMNS", block + 1)
    angles = np.radians([0, 10, 25, 90, 95, 170])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = list(similar_pairs("abcdef", vectors, 2))
    assert found == [tuple(pair) for pair in ("ab", "ac", "bc", "de", "dc", "ec", "fe", "fd")]


def test_images_without_features_match_nothing(tmp_path: Path) -> None:
    one, two = _scene(0, 2)
    path = _write(tmp_path / "out.h5", {"a": one, "empty": np.zeros((0, 64), np.float16), "z": two})
    assert list(retrieve(path, 5)) == [("a", "z")]
    assert not list(retrieve(_write(tmp_path / "one.h5", {"a": one}), 5))
    assert not list(retrieve(_write(tmp_path / "none.h5", {"a": np.zeros((0, 64), np.float16)}), 5))


def test_equal_images_are_pairs_though_nothing_tells_them_apart(tmp_path: Path) -> None:
    (image,) = _scene(0, 1)
    path = _write(tmp_path / "out.h5", {"a": image, "b": image, "c": image})
    assert len(list(retrieve(path, 2))) == 3


def test_bad_entries_are_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = _scene(0, 2)
    path = _write(
        tmp_path / "out.h5", {"a": one, "b": _scene(0, 1, 32)[0], "c": two, "d": np.full((9, 64), np.nan, np.float16)}
    )
    assert list(retrieve(path, 5)) == [("a", "c")]
    assert "descriptors of 'b' have 32 numbers, not 64" in caplog.text
    assert "descriptors of 'd' holds numbers that are not finite" in caplog.text


def test_a_loop_is_closed_where_the_sequence_comes_back(tmp_path: Path) -> None:
    """Frames 0…5 look alike, then 6…11, then 12…17; 18…23 show the first place again."""
    scenes = [_scene(seed, 12) for seed in range(3)]
    frames = {f"{i:02}.jpg": scenes[i // 6 % 3][i % 6 + 6 * (i // 18)] for i in range(24)}
    found = list(loop_closures(_write(tmp_path / "out.h5", frames), count=3, period=4, apart=6))
    by_query: dict[int, list[int]] = {}
    for one, other in found:
        by_query.setdefault(int(one[:2]), []).append(int(other[:2]))
    assert set(by_query) <= set(range(0, 24, 4))
    assert all(abs(query - other) > 6 for query, others in by_query.items() for other in others)
    assert set(by_query[0]) <= set(range(18, 24))
    assert len(by_query[0]) == 3
    assert set(by_query[20]) <= set(range(6))
