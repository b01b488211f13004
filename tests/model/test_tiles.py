"""Tiles give what the whole image gives: every feature, at its place, with its descriptor."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from xfeat_cli import ExtractConfig, Features, XFeat
from xfeat_cli.decoding import to_gray
from xfeat_cli.errors import UsageError
from xfeat_cli.images import Photo
from xfeat_cli.model.tiles import MARGIN, _shares, spans

SIZE = (1411, 973)
"""Two tiles of 768 in one direction, three in the other; no multiple of 32."""

OPTIONS = {"resize": 0, "device": "cpu", "backend": "torch", "precision": "fp32"}


@pytest.fixture(scope="module")
def large(photograph: np.ndarray) -> np.ndarray:
    """A mosaic of the view, turned and mirrored, dark in one corner: another mean in each tile."""
    rows = [np.hstack([photograph[:: (-1) ** (i + j), :: (-1) ** j] for i in range(6)]) for j in range(6)]
    mosaic = np.vstack(rows)[: SIZE[1], : SIZE[0]].copy()
    mosaic[:500, :700] //= 4
    return mosaic


def _detect(image: np.ndarray, mask: np.ndarray | None = None, **options: object) -> Features:
    size = (image.shape[1], image.shape[0])
    photo = Photo("large.jpg", to_gray(image), size, size, mask=mask)
    return XFeat(**OPTIONS, **options).detect_photos([photo])[0]  # type: ignore[arg-type]


def _in_order(features: Features) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.lexsort(np.round(features.keypoints, 1).T)
    return features.keypoints[order], features.scores[order], features.descriptors[order]


@pytest.mark.parametrize("grids", [1, 4])
def test_tiles_have_the_features_of_the_whole_image(large: np.ndarray, grids: int) -> None:
    whole = _detect(large, tiles=0, top_k=50_000, grids=grids)
    tiled = _detect(large, tiles=768, top_k=50_000, grids=grids)
    assert len(tiled) == len(whole) > 5000
    assert tiled.image_size == SIZE
    assert (np.diff(tiled.scores) <= 0).all()
    for one, other, tolerance in zip(_in_order(tiled), _in_order(whole), (2e-3, 1e-4, 1e-3), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)


def test_semi_dense_tiles_have_the_cells_of_the_whole_image(large: np.ndarray) -> None:
    whole = _detect(large, tiles=0, mode="semi-dense", top_k=4000)
    tiled = _detect(large, tiles=768, mode="semi-dense", top_k=4000)
    np.testing.assert_allclose(tiled.scores, whole.scores, atol=1e-4)
    assert {*map(tuple, tiled.keypoints.round(2))} ^ {*map(tuple, whole.keypoints.round(2))} == set()
    for one, other in zip(_in_order(tiled)[2], _in_order(whole)[2], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_masks_hold_in_tiles(large: np.ndarray) -> None:
    mask = np.ones(SIZE[::-1], bool)
    mask[300:700, 500:900] = False  # over a seam
    whole = _detect(large, mask, tiles=0, top_k=50_000)
    tiled = _detect(large, mask, tiles=768, top_k=50_000)
    assert len(tiled) == len(whole)
    np.testing.assert_allclose(_in_order(tiled)[0], _in_order(whole)[0], atol=2e-3)


def test_few_features_are_spread_over_the_image(large: np.ndarray) -> None:
    dull = large.copy()
    dull[:, :700] = dull[:, :700] // 8 + 100
    whole, tiled = (_detect(dull, tiles=tiles, top_k=400) for tiles in (0, 768))
    assert len(whole) == len(tiled) == 400
    shares = [(features.keypoints[:, 0] < 600).mean() for features in (whole, tiled)]
    assert shares[1] > 0.3 > shares[0]
    assert len({*map(tuple, tiled.keypoints)}) == 400


@pytest.mark.parametrize("side", [768, 800, 1000, 2048])
@pytest.mark.parametrize("length", [1, 31, 767, 768, 769, 800, 1088, 1089, 1411, 5000, 20_000])
def test_cores_are_the_axis_and_have_their_margins(length: int, side: int) -> None:
    padded = length + -length % 32
    found = spans(length, side)
    assert (found[0].first, found[-1].last) == (0, padded)
    for one, following in itertools.pairwise(found):
        assert one.last == following.first
    for span in found:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= padded
        assert span.start % 32 == span.first % 32 == span.last % 32 == span.stop % 32 == 0
        assert span.stop - span.start == min(padded, side // 32 * 32)
        assert span.start == 0 or span.first - span.start >= MARGIN
        assert span.stop == padded or span.stop - span.last >= MARGIN


@pytest.mark.parametrize(
    ("available", "areas", "top_k", "expected"),
    [
        ([3, 4], [1, 1], 10, [3, 4]),
        ([100, 100], [1, 1], 10, [5, 5]),
        ([100, 100], [1, 3], 8, [2, 6]),
        ([1, 100, 100], [1, 1, 1], 9, [1, 4, 4]),
        ([0, 100, 2], [1, 1, 1], 50, [0, 48, 2]),
        ([9, 9, 9], [1, 1, 1], 10, [4, 3, 3]),
    ],
)
def test_shares(available: list[int], areas: list[int], top_k: int, expected: list[int]) -> None:
    assert _shares(available, areas, top_k) == expected


def test_when_tiles_are_used() -> None:
    assert [ExtractConfig().tile_side(*size) for size in ((1200, 1200), (4000, 4000), (4000, 4001))] == [0, 0, 2048]
    assert [ExtractConfig(tiles=1000).tile_side(*size) for size in ((1000, 900), (900, 1001))] == [0, 1000]
    assert ExtractConfig(tiles=0).tile_side(90_000, 90_000) == 0
    for odd in (-1, 1, 767):
        with pytest.raises(UsageError, match="tiles"):
            ExtractConfig(tiles=odd)
