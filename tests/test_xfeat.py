from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from xfeat_cli import ExtractConfig, Features, MatchConfig, Matches, PointMatches, XFeat
from xfeat_cli.decoding import to_gray
from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.images import Photo
from xfeat_cli.model import decode
from xfeat_cli.model.decode import scaled
from xfeat_cli.model.network import XFeatNetwork
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.torch_network import TorchNetwork, folded_network
from xfeat_cli.model.weights import load

from .one_device import DEVICE, OneDevice

MODES = ["sparse", "semi-dense"]


@pytest.fixture(scope="module", params=MODES)
def xfeat(request: pytest.FixtureRequest) -> XFeat:
    """Of either mode, for tests that leave it as it is."""
    return XFeat(mode=request.param, device="cpu")


@pytest.fixture(scope="module")
def sparse() -> XFeat:
    return XFeat(device="cpu")


def _same(a: Features, b: Features) -> bool:
    return (
        a.image_size == b.image_size
        and np.array_equal(a.keypoints, b.keypoints)
        and np.array_equal(a.scores, b.scores)
        and np.array_equal(a.descriptors, b.descriptors)
        and np.array_equal(np.array(a.scales), np.array(b.scales))
    )


def _photo(image: np.ndarray, mask: np.ndarray | None = None, longest: int = 0) -> Photo:
    size = (image.shape[1], image.shape[0])
    return Photo("photo.jpg", to_gray(image, longest), size, size, mask=mask)


def test_features_of_a_photograph(xfeat: XFeat, photograph: np.ndarray) -> None:
    features = xfeat.detect(photograph)
    assert len(features) > 200
    assert features.image_size == (240, 176)
    assert all(a.dtype == np.float32 for a in (features.keypoints, features.scores, features.descriptors))
    assert (features.keypoints >= -0.5).all()
    assert (features.keypoints <= np.array([240, 176]) - 0.5).all()
    assert (np.diff(features.scores) <= 0).all()
    if features.scales is None:
        np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    else:
        assert set(np.round(1 / features.scales, 1)) == {np.float32(0.6), np.float32(1.3)}


def test_one_image_gives_features_and_several_give_a_list(sparse: XFeat, photograph: np.ndarray) -> None:
    alone = sparse.detect(photograph)
    assert isinstance(alone, Features)
    for several in ([photograph], (photograph,), photograph[None]):
        features = sparse.detect(several)
        assert isinstance(features, list)
        assert len(features) == 1
        assert _same(features[0], alone)
    assert sparse.detect([]) == []


def test_an_image_may_come_in_any_type(sparse: XFeat, photograph: np.ndarray) -> None:
    expected = sparse.detect(photograph)
    rgba = np.dstack([photograph, photograph[..., 0]])
    for same in (photograph[..., ::-1], rgba, photograph.astype(np.uint16) * 257, photograph / 255):
        features = sparse.detect(same)
        assert abs(len(features) - len(expected)) <= 2
        distance = np.linalg.norm(features.keypoints[:, None] - expected.keypoints, axis=-1).min(1)
        assert (distance < 0.01).mean() > 0.99


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.int32), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)])
def test_what_is_no_image_is_an_image_error(sparse: XFeat, image: np.ndarray) -> None:
    with pytest.raises(ImageError):
        sparse.detect([np.zeros((8, 8), np.uint8), image])


@pytest.mark.parametrize("batch_size", [2, 8])
def test_the_result_does_not_depend_on_the_batch(xfeat: XFeat, photograph: np.ndarray, batch_size: int) -> None:
    images = [
        photograph,
        photograph[:100, :130],
        np.roll(photograph, 40, 1),
        photograph[::-1],
        photograph[40:140, 60:190],
        photograph // 3,
        photograph[:31, :33],
    ]
    alone = [xfeat.detect(image) for image in images]
    together = XFeat(xfeat.config, batch_size=batch_size).detect(images)
    for one, other, image in zip(alone, together, images, strict=True):
        assert one.image_size == (image.shape[1], image.shape[0])
        assert _same(one, other)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (31, 31), (33, 47), (2, 2)])
def test_tiny_images_and_flat_images(xfeat: XFeat, size: tuple[int, int]) -> None:
    for image in (np.zeros(size, np.uint8), np.random.default_rng(0).integers(0, 256, size, np.uint8)):
        features = xfeat.detect(image)
        assert features.image_size == (size[1], size[0])
        assert np.isfinite(features.keypoints).all()
        assert np.isfinite(features.descriptors).all()
        assert (features.keypoints >= -0.5).all()
        assert (features.keypoints <= np.array(features.image_size) - 0.5).all()
        assert xfeat.match(features, features).scores.ndim == 1


def test_no_keypoints_give_no_matches(xfeat: XFeat, photograph: np.ndarray) -> None:
    full = xfeat.detect(photograph)
    scales = None if full.scales is None else full.scales[:0]
    empty = Features(full.keypoints[:0], full.scores[:0], full.descriptors[:0], full.image_size, scales)
    for pair in ((full, empty), (empty, full), (empty, empty)):
        assert len(xfeat.match(*pair)) == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("top_k", [1, 2, 50])
def test_top_k(photograph: np.ndarray, mode: str, top_k: int) -> None:
    assert len(XFeat(mode=mode, top_k=top_k, device="cpu").detect(photograph)) == top_k


def test_the_detection_threshold_is_a_least_probability(photograph: np.ndarray) -> None:
    counts = [len(XFeat(detection_threshold=t, device="cpu").detect(photograph)) for t in (0.0, 0.05, 0.3, 0.9999)]
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0


# Resized images


class _FakeRuntime:
    """Heads with one bump at pixel (10, 20) of whatever the network sees."""

    device = torch.device("cpu")

    def upload(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    def sparse_heads(self, image: torch.Tensor, grids: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, _, height, width = image.shape
        heatmap = torch.zeros(batch, height, width)
        heatmap[:, 20, 10] = 0.5
        return torch.ones(batch, 64, height // 8, width // 8), heatmap, torch.ones(batch, 1, height // 8, width // 8)


@pytest.mark.parametrize(
    ("resize", "expected"), [(0, (10, 20)), (64, (20.5, 40.5)), (32, (41.5, 81.5)), (500, (10, 20))]
)
def test_keypoints_are_pixels_of_the_given_image(resize: int, expected: tuple[float, float]) -> None:
    model = XFeat(resize=resize, device="cpu")
    model.runtime = _FakeRuntime()  # type: ignore[assignment]
    features = model.detect(np.zeros((96, 128), np.uint8))
    np.testing.assert_allclose(features.keypoints, [expected], atol=1e-4)


def test_keypoints_of_a_photo_that_its_decoder_reduced_are_stored_pixels() -> None:
    """161 × 99 decoded to half: 80 × 49 pixels, which show 160 × 98."""
    model = XFeat(device="cpu")
    model.runtime = _FakeRuntime()  # type: ignore[assignment]
    mask = np.ones((99, 161), bool)
    photo = Photo("photo.jpg", np.zeros((49, 80), np.float32), (161, 99), (160, 98), mask=mask)
    (features,) = model.detect_photos([photo])
    assert features.image_size == (161, 99)
    np.testing.assert_allclose(features.keypoints, [(20.5, 40.5)], atol=1e-4)
    mask[40:42, 20:22] = False
    assert len(model.detect_photos([photo])[0]) == 0


@pytest.mark.parametrize("resize", [0, 120])
def test_semi_dense_cells_of_a_resized_image(photograph: np.ndarray, resize: int) -> None:
    model = XFeat(mode="semi-dense", resize=resize, device="cpu")
    features = model.detect(photograph)
    assert features.scales is not None
    shrink = 240 / (resize or 240)
    assert len(set(features.scales.tolist())) == 2
    for scale in (1 / 0.6, 1 / 1.3):
        own = np.abs(features.scales - shrink * scale) < 0.02
        stretch = np.array([240 / round(240 / shrink / scale), 176 / round(176 / shrink / scale)])
        cells = ((features.keypoints[own] + 0.5) / stretch - 0.5 - model.runtime.labels.reference) / 8
        assert own.sum() > 20
        np.testing.assert_allclose(cells, cells.round(), atol=1e-4)


def test_the_image_is_scaled_with_pixel_centres() -> None:
    """A ramp holds its own coordinate, so each pixel of the scaled image shows where it came from."""
    ramp = torch.arange(200.0).expand(1, 64, 200)
    for size in decode.semi_dense_sizes((64, 200)):
        came_from = (torch.arange(size[1]) + 0.5) * 200 / size[1] - 0.5
        error = (scaled(ramp, size)[0, 5] - came_from)[5:-5]
        assert error.abs().max() < 0.1  # of the antialiasing filter's few taps
        assert error.mean().abs() < 0.003


# Matching


def test_an_image_matched_with_itself(xfeat: XFeat, photograph: np.ndarray) -> None:
    features = xfeat.detect(photograph)
    matches = xfeat.match(features, features)
    if isinstance(matches, PointMatches):
        assert len(matches) > 0.5 * len(features)
        np.testing.assert_array_equal(matches.points0, matches.points1)
        assert (matches.scores >= xfeat.runtime.labels.min_confidence).all()
        assert matches.scores.max() <= 1
    else:
        assert len(matches) > 0.99 * len(features)
        np.testing.assert_array_equal(matches.indices[:, 0], matches.indices[:, 1])
        np.testing.assert_allclose(matches.scores, 1, atol=1e-5)


def test_the_sparse_threshold_is_that_of_the_weights(sparse: XFeat, photograph: np.ndarray) -> None:
    a, b = sparse.detect(photograph), sparse.detect(np.rot90(photograph))
    by_default = sparse.match(a, b)
    threshold = sparse.runtime.info.min_cossim
    assert isinstance(by_default, Matches)
    assert by_default.scores.min() >= threshold
    named, without = (sparse.match(a, b, MatchConfig(min_cossim=t)) for t in (threshold, -1))
    np.testing.assert_array_equal(by_default.scores, named.scores)
    assert len(without) > len(by_default) > 0


# Masks


def test_masks_drop_keypoints_and_leave_the_others(xfeat: XFeat, photograph: np.ndarray) -> None:
    mask = np.zeros((176, 240), bool)
    mask[10:120, 20:200] = True
    (masked,) = xfeat.detect_photos([_photo(photograph, mask)])
    (free,) = xfeat.detect_photos([_photo(photograph)])
    x, y = np.rint(masked.keypoints).astype(int).T
    assert mask[y.clip(0), x.clip(0)].all()
    points = {tuple(p) for p in masked.keypoints.tolist()}
    assert points <= {tuple(p) for p in free.keypoints.tolist()}
    inner = (np.abs(free.keypoints - [109.5, 64.5]) < [88, 53]).all(1)
    assert {tuple(p) for p in free.keypoints[inner].tolist()} <= points
    assert inner.sum() > 50


def test_a_mask_of_one_photo_leaves_its_neighbours(sparse: XFeat, photograph: np.ndarray) -> None:
    mask = np.zeros((176, 240), bool)
    both = sparse.detect_photos([_photo(photograph, mask, 120), _photo(photograph, longest=120)])
    (alone,) = sparse.detect_photos([_photo(photograph, longest=120)])
    assert len(both[0]) == 0
    assert _same(both[1], alone)


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"top_k": -3},
        {"resize": -1},
        {"batch_size": 0},
        {"detection_threshold": 1.0},
        {"detection_threshold": -0.1},
        {"detection_threshold": float("nan")},
        {"mode": "dense"},
        {"decoding": "best"},
        {"precision": "fp8"},
        {"precision": "fp16", "device": "cpu"},
        {"device": "toaster"},
    ],
)
def test_bad_options_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        XFeat(**options)


def test_options_change_a_config() -> None:
    config = XFeat(ExtractConfig(top_k=7, resize=640), resize=320, mode="semi-dense", device="cpu").config
    assert (config.top_k, config.resize, config.mode.value) == (7, 320, "semi-dense")
    with pytest.raises(TypeError):
        XFeat(topk=7)


# Precision and memory


def test_bf16_finds_the_same_keypoints(sparse: XFeat, photograph: np.ndarray) -> None:
    exact = sparse.detect(photograph)
    rough = XFeat(precision="bf16", device="cpu").detect(photograph)
    distance = np.linalg.norm(exact.keypoints[:, None] - rough.keypoints, axis=-1)
    assert (distance.min(1) < 1).mean() > 0.95
    assert (distance.min(1) < 0.1).mean() > 0.9


@pytest.mark.parametrize("mode", MODES)
def test_fp16_as_on_a_gpu_finds_the_same_features(mode: str, photograph: np.ndarray) -> None:
    model = XFeat(mode=mode, precision="fp32", device="cpu")
    exact = model.detect(photograph)
    model.runtime._network = TorchNetwork(folded_network(load("default")), torch.device("cpu"), torch.float16)
    rough = model.detect(photograph)
    distance = np.linalg.norm(exact.keypoints[:, None] - rough.keypoints, axis=-1)
    shared = distance.min(1) < 0.05
    assert shared.mean() > 0.99
    one, two = exact.descriptors[shared], rough.descriptors[distance.argmin(1)[shared]]
    cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert not np.array_equal(one, two)
    assert cosine.min() > 0.999


class _Reached(Exception):
    pass


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_gpu_is_not_waited_for_before_the_one_transfer(
    mode: str, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def transfer(
        keep: torch.Tensor,
        points: torch.Tensor,
        scores: torch.Tensor,
        descriptors: torch.Tensor,
        scales: torch.Tensor | None = None,
    ) -> None:
        assert (keep.shape, points.shape, descriptors.shape) == ((3, 50), (3, 50, 2), (3, 50, 64))
        assert {part.dtype for part in (points, scores, descriptors)} == {torch.float32}
        assert (scales is None) == (mode == "sparse")
        raise _Reached

    def upload(arrays: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.empty(len(arrays), *arrays[0].shape, dtype=torch.from_numpy(arrays[0]).dtype, device=DEVICE)

    model = XFeat(mode=mode, device="cpu", top_k=50, batch_size=3)
    model.runtime.device, model.runtime.upload = DEVICE, upload  # type: ignore[method-assign]
    with DEVICE:
        model.runtime._network = TorchNetwork(XFeatNetwork().requires_grad_(False), DEVICE, torch.float16)
    monkeypatch.setattr(decode, "_kept", transfer)
    photos = [_photo(np.zeros((60, 90), np.uint8), np.ones((60, 90), bool) if masked and i else None) for i in range(3)]
    with pytest.raises(_Reached), OneDevice():
        model.detect_photos(photos)


class _FullDevice:
    """A GPU with room for so many photos at once; the sizes of the batches that were tried."""

    def __init__(self, room: int) -> None:
        self.device = torch.device("cuda")
        self.room = room
        self.tried: list[int] = []

    def detect(self, photos: Sequence[Photo]) -> list[Features]:
        self.tried.append(len(photos))
        if len(photos) > self.room:
            raise torch.OutOfMemoryError
        nothing = np.zeros((0, 2), np.float32)
        return [Features(nothing, nothing[:, 0], np.zeros((0, 64), np.float32), photo.size) for photo in photos]


def _on(device: _FullDevice, batch_size: int | None = None) -> XFeat:
    model = XFeat(device="cpu", batch_size=batch_size)
    model.runtime = device  # type: ignore[assignment]
    model._detect = device.detect  # type: ignore[method-assign]
    return model


def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    device = _FullDevice(room=1)
    model = _on(device, batch_size=5)
    images = [np.full((8 + i % 2, 8), i * 9, np.uint8) for i in range(16)]
    assert [features.image_size for features in model.detect(images)] == [(8, 8 + i % 2) for i in range(16)]
    assert model.batch_size == 1
    assert device.tried[0] == 5
    assert device.tried[-10:] == [1] * 10  # the smaller batch stays


def test_a_photo_that_alone_is_too_much_is_an_image_error() -> None:
    with pytest.raises(ImageError, match=r"photo\.jpg: out of GPU memory at 9x8; .*resize"):
        _on(_FullDevice(room=0)).detect_photos([_photo(np.zeros((8, 9), np.uint8))])


def test_reference_decoding_runs_in_fp32(photograph: np.ndarray) -> None:
    model = XFeat(decoding="reference", precision="bf16", device="cpu", top_k=50)
    assert isinstance(model.runtime, Runtime)
    assert model.runtime.precision.value == "fp32"
    assert len(model.detect(photograph)) == 50
