"""Each function of the native library against the numpy or torch code that computes the same, at each level."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from xfeat_cli import decoding
from xfeat_cli.matching import nearest
from xfeat_cli.model import decode, heatmap, peaks, weights
from xfeat_cli.model.torch_network import folded_network
from xfeat_cli.native import functions as native
from xfeat_cli.native.library import Library, supported_levels

pytestmark = pytest.mark.skipif(not supported_levels(), reason="the native library is not built")


@pytest.fixture(params=supported_levels())
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


@pytest.fixture(autouse=True)
def _twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared with does not use the library itself."""
    for module in (decoding, nearest, decode, heatmap, peaks):
        monkeypatch.setattr(module, "library", lambda: None)


def _unit(random: np.random.Generator, count: int, dim: int = 64) -> np.ndarray:
    vectors = random.standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _pairs(columns: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(columns >= 0)
    return np.stack([rows, columns[rows]], 1)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 300), (300, 1), (5, 7), (127, 129), (1000, 700), (16, 64), (6, 64)])
@pytest.mark.parametrize(("min_cossim", "ratio"), [(-1.0, 1.0), (0.5, 1.0), (-1.0, 0.9)])
def test_matches(library: Library, sizes: tuple[int, int], min_cossim: float, ratio: float) -> None:
    random = np.random.default_rng(sum(sizes))
    one, two = _unit(random, sizes[0]), _unit(random, sizes[1])
    shared = min(sizes) // 2
    two[:shared] = one[random.permutation(sizes[0])[:shared]] + 0.08 * random.standard_normal((shared, 64))
    two /= np.linalg.norm(two, axis=1, keepdims=True)
    expected = nearest.mutual_nearest(torch.from_numpy(one), torch.from_numpy(two), min_cossim, ratio)
    columns, cosines = native.match(library, one, two, min_cossim, ratio)
    assert np.array_equal(_pairs(columns), expected.indices)
    np.testing.assert_allclose(cosines[columns >= 0], expected.scores, atol=1e-6)


def test_matches_that_bfloat16_cannot_tell_apart(library: Library) -> None:
    """All descriptors lie within a hundredth of each other, so that every decision falls in float32."""
    random = np.random.default_rng(0)
    centre = _unit(random, 1)
    one, two = (centre + 0.002 * random.standard_normal((n, 64)) for n in (400, 500))
    one, two = (side.astype(np.float32) / np.linalg.norm(side, axis=1, keepdims=True) for side in (one, two))
    exact = one.astype(np.float64) @ two.T.astype(np.float64)
    columns, _ = native.match(library, one.astype(np.float32), two.astype(np.float32), 0.9, 1.0)
    mutual = [(i, j) for i, j in enumerate(exact.argmax(1)) if exact[:, j].argmax() == i]
    # Float32 itself tells cosines apart only to 1e-7.
    sure = set()
    for i, j in mutual:
        others = max(np.delete(exact[i], j).max(), np.delete(exact[:, j], i).max())
        if exact[i, j] > others + 1e-6:
            sure.add((i, j))
    assert len(sure) > 20
    assert sure <= {tuple(pair) for pair in _pairs(columns).tolist()}


def test_of_equal_descriptors_the_first_matches(library: Library) -> None:
    one = np.zeros((40, 64), np.float32)
    one[:, 3] = 1
    columns, _ = native.match(library, one, one[:33], 0.5, 1.0)
    assert _pairs(columns).tolist() == [[0, 0]]


@pytest.mark.parametrize("dim", [1, 2, 3, 17, 128])
def test_descriptors_of_any_length(library: Library, dim: int) -> None:
    random = np.random.default_rng(dim)
    one, two = _unit(random, 30, dim), _unit(random, 50, dim)
    expected = nearest.mutual_nearest(torch.from_numpy(one), torch.from_numpy(two))
    columns, cosines = native.match(library, one, two, -1, 1)
    np.testing.assert_allclose(
        cosines[columns >= 0], (one[columns >= 0] * two[columns[columns >= 0]]).sum(1), atol=1e-6
    )
    if dim > 2:  # else cosines tie
        assert np.array_equal(_pairs(columns), expected.indices)


def test_what_is_no_number_matches_nothing(library: Library) -> None:
    one = _unit(np.random.default_rng(0), 20)
    two = one.copy()
    one[3], two[7] = np.nan, np.inf
    columns, _ = native.match(library, one, two, -1, 1)
    assert columns[3] == -1
    assert 7 not in columns
    assert [columns[i] for i in (0, 1, 2, 19)] == [0, 1, 2, 19]


def test_heatmap_of_far_logits(library: Library) -> None:
    bias = np.full(65, -1e4, np.float32)
    bias[[3, 20]] = 1e4
    nothing = (np.zeros((64, 64), np.float32), np.zeros(64, np.float32))
    layers = [nothing, nothing, nothing, (np.zeros((65, 64), np.float32), bias)]
    found = native.keypoint_heatmap(library, np.zeros((8, 8), np.float32), layers)
    assert found[0, 3] == pytest.approx(0.5)
    assert found[1, 4] == pytest.approx(0.5)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("size", [(8, 8), (8, 36), (32, 64), (60, 12), (96, 128)])
@pytest.mark.parametrize("bf16", [False, True])
def test_the_whole_keypoint_head(library: Library, size: tuple[int, int], bf16: bool) -> None:
    head = heatmap.head_of_blocks(folded_network(weights.load("default")).keypoint_head)
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    layers = heatmap.layers_of_blocks(head)
    if bf16 and not library.multiplies_bf16:
        with pytest.raises(ValueError, match="bfloat16"):
            native.keypoint_heatmap(library, image[0, 0].numpy(), layers, bf16=True)
        return
    with torch.inference_mode():
        expected = heatmap.from_block_logits(head(torch.nn.functional.pixel_unshuffle(image, 4)))[0].numpy()
    found = native.keypoint_heatmap(library, image[0, 0].numpy(), layers, bf16=bf16)
    np.testing.assert_allclose(found, expected, atol=0.02 if bf16 else 2e-6)
    assert np.abs(found - expected).mean() < (1e-3 if bf16 else 1e-7)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (32, 40), (61, 99), (5, 130)])
@pytest.mark.parametrize("top_k", [1, 10, 100_000])
@pytest.mark.parametrize("masked", [False, True])
def test_peaks(library: Library, size: tuple[int, int], top_k: int, masked: bool) -> None:
    random = np.random.default_rng(size[1])
    # Few values, so that many are equal.
    heat = np.round(random.random((size[0], size[1] + 3), np.float32) ** 4 * 50)[:, : size[1]] / np.float32(50)
    cells = random.random((-(-size[0] // 32) * 4, -(-size[1] // 32) * 4), np.float32)
    allowed = random.random(size) > 0.3 if masked else None
    points, scores, is_keypoint = peaks.find_peaks(
        torch.from_numpy(heat.copy())[None], torch.from_numpy(cells)[None, None], top_k, 0.05,
        None if allowed is None else torch.from_numpy(allowed)[None],
    )  # fmt: skip
    found, found_scores = native.peaks(library, heat, cells, top_k, 0.05, allowed)
    np.testing.assert_allclose(found, points[0][is_keypoint[0]], atol=1e-5)
    assert np.array_equal(found_scores, scores[0][is_keypoint[0]].numpy())


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9)])
def test_descriptors(library: Library, size: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(1)
    features = torch.randn(1, 64, *size, generator=random)
    points = torch.rand(1, 50, 2, generator=random) * torch.tensor([size[1] * 8.0, size[0] * 8.0]) - 0.5
    expected = decode._sample_descriptors(features, points)[0].numpy()
    found = native.describe(library, features[0].permute(1, 2, 0).numpy(), points[0].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert native.describe(library, features[0].permute(1, 2, 0).numpy(), points[0, :0].numpy()).shape == (0, 64)


@pytest.mark.parametrize("shape", [(1, 1, 64), (5, 128, 512), (13, 512, 64), (0, 7, 64)])
@pytest.mark.parametrize("rectify", [False, True])
def test_a_layer(library: Library, shape: tuple[int, int, int], rectify: bool) -> None:
    rows, inputs, outputs = shape
    random = torch.Generator().manual_seed(0)
    values = torch.randn(rows, inputs, generator=random)
    weight, bias = torch.randn(outputs, inputs, generator=random), torch.randn(outputs, generator=random)
    expected = torch.nn.functional.linear(values.double(), weight.double(), bias.double())
    expected = expected.relu() if rectify else expected
    found = native.linear(library, values.numpy(), native.panels(weight.numpy()), bias.numpy(), rectify=rectify)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(
    ("size", "longest"), [((1, 1), 0), ((37, 53), 0), ((100, 151), 90), ((64, 96), 48), ((9, 400), 7)]
)
def test_gray(library: Library, channels: int | None, size: tuple[int, int], longest: int) -> None:
    shape = size if channels is None else (*size, channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    expected = decoding.to_gray(pixels, longest)
    found = native.reduce_gray(library, pixels, *expected.shape)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_gray_of_pixels_that_lie_apart(library: Library) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    turned = np.rot90(pixels)[3:-2, 1:]
    mean = np.ascontiguousarray(turned).astype(np.float32).mean(2)
    expected = cv2.resize(mean, (13, 20), interpolation=cv2.INTER_AREA) / 255
    np.testing.assert_allclose(native.reduce_gray(library, turned, 20, 13), expected, atol=2e-6)


def test_shapes_that_do_not_fit_are_refused(library: Library) -> None:
    with pytest.raises(ValueError, match="shape"):
        native.match(library, np.zeros((3, 64), np.float32), np.zeros((3, 32), np.float32), -1, 1)
    with pytest.raises(ValueError, match="multiples of 4"):
        native.keypoint_heatmap(library, np.zeros((8, 10), np.float32), [])
    with pytest.raises(ValueError, match="reduced"):
        native.reduce_gray(library, np.zeros((4, 4), np.uint8), 5, 4)
    with pytest.raises(ValueError, match="allowed"):
        native.peaks(library, np.zeros((4, 4), np.float32), np.zeros((1, 1)), 5, 0.1, np.ones((4, 5), bool))


def test_shapes_at_random(library: Library) -> None:
    random = np.random.default_rng(7)
    for _ in range(40):
        count0, count1, dim = random.integers(1, [90, 90, 80])
        one, two = _unit(random, count0, dim + 2), _unit(random, count1, dim + 2)
        expected = nearest.mutual_nearest(torch.from_numpy(one), torch.from_numpy(two), -1, 1)
        assert np.array_equal(_pairs(native.match(library, one, two, -1, 1)[0]), expected.indices)
        height, width = random.integers(1, 60, 2)
        pixels = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        gray = decoding.to_gray(pixels, int(random.integers(1, 60)))
        np.testing.assert_allclose(native.reduce_gray(library, pixels, *gray.shape), gray, atol=2e-6)
        heat = random.random((height, width), np.float32)
        cells = random.random((height // 8 + 1, width // 8 + 1), np.float32)
        points, scores, keep = peaks.find_peaks(
            torch.from_numpy(heat)[None], torch.from_numpy(cells)[None, None], 30, 0.2
        )
        found, found_scores = native.peaks(library, heat, cells, 30, 0.2)
        assert np.array_equal(found_scores, scores[0][keep[0]].numpy())
        np.testing.assert_allclose(found, points[0][keep[0]], atol=1e-5)
