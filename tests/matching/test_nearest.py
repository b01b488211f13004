from __future__ import annotations

import numpy as np
import pytest
import torch

from xfeat_cli.matching import nearest
from xfeat_cli.matching.nearest import mutual_nearest, nearest_of_pairs, normalised
from xfeat_cli.types import Matches

from ..one_device import DEVICE, OneDevice


def _descriptors(seed: int, count: int, dim: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def _match(a: np.ndarray, b: np.ndarray, min_cossim: float = -1, ratio: float = 1) -> Matches:
    return mutual_nearest(torch.from_numpy(a), torch.from_numpy(b), min_cossim, ratio)


def _brute_force(a: np.ndarray, b: np.ndarray, min_cossim: float, ratio: float) -> dict[tuple[int, int], float]:
    """The definition, in double precision, one descriptor after the other."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    a, b = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (a, b))
    cosine = a @ b.T
    found = {}
    for i in range(len(a)):
        j = int(cosine[i].argmax())
        distances = np.sort(np.linalg.norm(a[i] - b, axis=1))
        passes = ratio == 1 or len(b) == 1 or distances[0] <= ratio * distances[1]
        if cosine[:, j].argmax() == i and cosine[i, j] >= min_cossim and passes:
            found[i, j] = float(cosine[i, j])
    return found


@pytest.mark.parametrize("min_cossim", [-1, 0.3, 0.45])
@pytest.mark.parametrize("ratio", [1, 0.95, 0.8])
def test_as_the_definition_says(min_cossim: float, ratio: float) -> None:
    a, b = _descriptors(0, 300), _descriptors(1, 200)
    b[:40] = a[100:140] + 0.8 * b[:40]
    expected = _brute_force(a, b, min_cossim, ratio)
    matches = _match(a, b, min_cossim, ratio)
    assert [tuple(pair) for pair in matches.indices.tolist()] == sorted(expected)
    np.testing.assert_allclose(matches.scores, [expected[pair] for pair in sorted(expected)], atol=1e-5)
    assert len(expected) > 10


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 80])
@pytest.mark.parametrize("columns", [1, 47, 48, 49, 150])
def test_tiles_leave_no_seam(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_TILE_ROWS", 32)
    monkeypatch.setattr(nearest, "_TILE_COLUMNS", 48)
    a, b = _descriptors(2, rows), _descriptors(3, columns)
    expected = _brute_force(a, b, -1, 1)
    assert {tuple(pair) for pair in _match(a, b).indices.tolist()} == set(expected)
    assert {tuple(pair) for pair in _match(a, b, ratio=0.97).indices.tolist()} == set(_brute_force(a, b, -1, 0.97))


def test_both_ways_round_agree() -> None:
    a, b = _descriptors(4, 400), _descriptors(5, 300)
    there, back = _match(a, b).indices, _match(b, a).indices
    assert {tuple(pair) for pair in there.tolist()} == {tuple(pair[::-1]) for pair in back.tolist()}


def test_the_norm_does_not_matter_and_any_float_type_does() -> None:
    a, b = _descriptors(6, 50), _descriptors(7, 60)
    expected = _match(a, b)
    scaled = _match(7 * a, b * np.linspace(0.1, 9, 60, dtype=np.float32)[:, None])
    np.testing.assert_array_equal(scaled.indices, expected.indices)
    np.testing.assert_allclose(scaled.scores, expected.scores, atol=1e-6)
    rough = _match(a.astype(np.float16), b.astype(np.float16))
    assert len(set(map(tuple, rough.indices.tolist())) & set(map(tuple, expected.indices.tolist()))) > 0.9 * len(rough)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("ratio", [1, 0.8])
def test_an_empty_side_gives_no_matches(rows: int, columns: int, ratio: float) -> None:
    matches = _match(_descriptors(0, rows), _descriptors(1, columns), ratio=ratio)
    assert matches.indices.shape == (0, 2)
    assert matches.scores.shape == (0,)
    assert (matches.indices.dtype, matches.scores.dtype) == (np.int32, np.float32)


def test_one_descriptor_passes_the_ratio_test() -> None:
    one = _descriptors(0, 1)
    matches = _match(one, one, ratio=0.5)
    assert matches.indices.tolist() == [[0, 0]]
    np.testing.assert_allclose(matches.scores, [1], atol=1e-6)


def test_the_threshold_itself_passes() -> None:
    axes = np.eye(4, dtype=np.float32)
    assert len(_match(axes, axes, min_cossim=1.0)) == 4
    assert len(_match(axes[:1], axes[1:2], min_cossim=0.0)) == 1
    assert len(_match(axes[:1], axes[1:2], min_cossim=0.01)) == 0


@pytest.mark.parametrize("copies", [2, 300])
def test_equal_descriptors_match_once_and_the_first_has_it(copies: int) -> None:
    axes = np.eye(8, dtype=np.float32)
    repeated = axes[[0] * copies + [1, 2, 3]]
    assert _match(repeated, axes).indices.tolist() == [[0, 0], [copies, 1], [copies + 1, 2], [copies + 2, 3]]
    backwards = _match(axes[:4], repeated).indices
    assert backwards[:, 0].tolist() == [0, 1, 2, 3]
    assert backwards[0, 1] < copies


def test_ties_give_one_to_one_matches_always_the_same() -> None:
    random = np.random.default_rng(8)
    a, b = (np.eye(16, dtype=np.float32)[random.integers(0, 16, n)] for n in (600, 500))
    first = _match(a, b)
    assert len(np.unique(first.indices[:, 0])) == len(np.unique(first.indices[:, 1])) == len(first) == 16
    assert (np.diff(first.indices[:, 0]) > 0).all()
    for _ in range(5):
        np.testing.assert_array_equal(_match(a, b).indices, first.indices)


def test_equal_nearest_neighbours_fail_the_ratio_test() -> None:
    axes = np.eye(3, dtype=np.float32)
    near = axes[0] + 0.1 * axes[1]
    assert len(_match(near[None], axes[[0, 0, 2]], ratio=0.99)) == 0
    assert len(_match(near[None], axes[[0, 2, 2]], ratio=0.99)) == 1


def test_zero_descriptors_are_finite() -> None:
    zeros = np.zeros((3, 64), np.float32)
    assert np.isfinite(_match(zeros, _descriptors(0, 4)).scores).all()
    assert len(_match(zeros, _descriptors(0, 4), min_cossim=0.1)) == 0


def test_ties_across_tiles_go_to_the_first_column(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(9)
    a, b = (np.eye(16, dtype=np.float32)[random.integers(0, 16, n)] for n in (70, 90))
    whole = _match(a, b)
    monkeypatch.setattr(nearest, "_TILE_ROWS", 7)
    monkeypatch.setattr(nearest, "_TILE_COLUMNS", 11)
    np.testing.assert_array_equal(_match(a, b).indices, whole.indices)
    for i, j in whole.indices:
        assert i == (a == a[i]).all(1).argmax()
        assert j == (b == a[i]).all(1).argmax()


def _pairs(dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of shapes that repeat, and an empty one among them."""
    shapes = [(60, 50), (60, 50), (50, 60), (0, 50), (0, 50), (60, 50)]
    return [
        (normalised(torch.from_numpy(_descriptors(2 * i, n)), dtype), normalised(torch.from_numpy(b), dtype))
        for i, (n, m) in enumerate(shapes)
        for b in [_descriptors(2 * i + 1, m)]
    ]


@pytest.mark.parametrize("ratio", [1.0, 0.95])
@pytest.mark.parametrize("block", [1, 3 * 2 * 50 * 4, 1 << 20])
def test_the_batches_of_a_gpu_find_the_same(ratio: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_BLOCK_BYTES", block)
    pairs = _pairs(torch.float32)
    expected = nearest_of_pairs(pairs, 0.1, ratio)
    found = nearest._nearest_in_batches(pairs, 0.1, ratio)
    assert [len(one) for one in found] == [len(one) for one in expected]
    assert sum(map(len, found)) > 20
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        assert (one.indices.dtype, one.scores.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_definition_on_rounded_cosines(dtype: torch.dtype) -> None:
    """Both ways of searching, against two plain arg-maxima over the product in that precision."""
    d0, d1 = _pairs(dtype)[0]
    cosine = (d0 @ d1.T).float().numpy()
    best, column_best = cosine.max(1), cosine.max(0)
    rows = [i for i in range(len(cosine)) if best[i] == column_best[cosine[i].argmax()]]
    expected = {cosine[i].argmax(): i for i in reversed(rows)}
    for search in (nearest_of_pairs, nearest._nearest_in_batches):
        [found] = search([(d0, d1)], -1, 1)
        assert {j: i for i, j in found.indices.tolist()} == expected
        np.testing.assert_array_equal(found.scores, best[found.indices[:, 0]])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    pairs = _pairs(torch.float32)
    expected = [nearest_of_pairs([pair], -1, 1)[0] for pair in pairs]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = nearest_of_pairs(pairs, -1, 1)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_no_pairs_give_no_matches() -> None:
    assert nearest_of_pairs([], -1, 1) == []


@pytest.mark.parametrize("ratio", [1, 0.9])
def test_a_gpu_is_not_waited_for_before_the_one_transfer(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    transferred: list[tuple[torch.Size, torch.Size]] = []

    def transfer(columns: torch.Tensor, scores: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        transferred.append((columns.shape, scores.shape))
        return np.full(columns.shape, -1, np.int32), np.zeros(scores.shape, np.float32)

    monkeypatch.setattr(nearest, "_to_host", transfer)
    one, two = torch.empty(50, 64, device=DEVICE), torch.empty(40, 64, device=DEVICE)
    with OneDevice():
        pair = normalised(one, torch.float16), normalised(two, torch.float16)
        assert len(nearest_of_pairs([pair] * 3, 0.8, ratio)) == 3
    assert transferred == [((3, 50), (3, 50))]
