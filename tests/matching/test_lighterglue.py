"""LighterGlue without its weights: shapes and names of the released file, and what does not depend on the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xfeat_cli.errors import UsageError
from xfeat_cli.matching import lighterglue
from xfeat_cli.matching.lighterglue import LighterGlue
from xfeat_cli.model.lighterglue_state import expected_shapes, is_lighterglue, rename
from xfeat_cli.types import Features

from ..lighterglue_weights import as_released, random_state

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state()


def _features(count: int, size: tuple[int, int] = (640, 480), seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(count, 64))
    keypoints = rng.uniform(-0.5, np.array(size) - 0.5, (count, 2)).astype(np.float32)
    return Features(keypoints, np.ones(count, np.float32), descriptors.astype(np.float16), size)


def _shuffled(features: Features, seed: int) -> tuple[Features, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(features))
    return (
        Features(features.keypoints[order], features.scores, features.descriptors[order], features.image_size),
        order,
    )


def test_the_shapes_are_those_of_kornia() -> None:
    kornia = pytest.importorskip("kornia.feature.lightglue", reason="needs the extra [lighterglue]")
    network = kornia.LightGlue(None, input_dim=64, descriptor_dim=96, n_layers=6, num_heads=1)
    theirs = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    del theirs["confidence_thresholds"]
    assert expected_shapes() == theirs
    assert len(theirs) == 169


def test_the_released_names_become_kornias(state: dict[str, torch.Tensor]) -> None:
    released = as_released(state)
    assert "matcher.self_attn.3.Wqkv.weight" in released
    assert is_lighterglue(list(released))
    renamed = rename(released)
    assert renamed.keys() == state.keys()
    assert all(renamed[name] is tensor for name, tensor in state.items())
    assert rename(state).keys() == state.keys()
    assert not is_lighterglue(["block1.0.layer.0.weight", "fine_matcher.0.weight"])


def test_equal_features_match_whatever_their_order(state: dict[str, torch.Tensor]) -> None:
    pytest.importorskip("kornia", reason="needs the extra [lighterglue]")
    one = _features(60)
    two, order = _shuffled(one, 1)
    (found,) = LighterGlue(state, CPU, 0.1, batch_size=1).match([(one, two)])
    assert len(found) > 50
    assert (order[found.indices[:, 1]] == found.indices[:, 0]).all()
    assert (np.diff(found.indices[:, 0]) > 0).all()
    assert found.indices.dtype == np.int32
    assert ((found.scores > 0.1) & (found.scores <= 1)).all()


def test_a_batch_gives_what_its_pairs_give(state: dict[str, torch.Tensor]) -> None:
    pytest.importorskip("kornia", reason="needs the extra [lighterglue]")
    matcher = LighterGlue(state, CPU, 0.1, batch_size=3)
    assert matcher.pruning == -1
    pairs = [(one := _features(40, (640, 480), seed), _shuffled(one, seed)[0]) for seed in range(2)]
    pairs.append((_features(40, (480, 640), 7), _features(40, (1000, 300), 8)))
    for alone, together in zip((matcher.match([pair])[0] for pair in pairs), matcher.match(pairs), strict=True):
        np.testing.assert_array_equal(alone.indices, together.indices)
        np.testing.assert_allclose(alone.scores, together.scores, rtol=1e-4)


def test_a_positions_unit_and_origin_are_the_images(state: dict[str, torch.Tensor]) -> None:
    """The same image at twice the size, each point where the half-pixel rule puts it, gives the same input."""
    pytest.importorskip("kornia", reason="needs the extra [lighterglue]")
    from kornia.feature.lightglue import normalize_keypoints

    small = _features(30, (320, 240))
    large = Features((small.keypoints + 0.5) * 2 - 0.5, small.scores, small.descriptors, (640, 480))
    corners = np.array([[-0.5, -0.5], [319.5, 239.5], [159.5, 119.5]], np.float32)
    matcher = LighterGlue(state, CPU, 0.1, batch_size=1)
    given = [matcher._input([features]) for features in (small, large)]
    small_in, large_in = (normalize_keypoints(each["keypoints"], each["image_size"]) for each in given)
    np.testing.assert_allclose(small_in, large_in, atol=1e-6)
    at = matcher._input([Features(corners, np.ones(3, np.float32), small.descriptors[:3], (320, 240))])
    normal = normalize_keypoints(at["keypoints"], at["image_size"])[0]
    np.testing.assert_allclose(normal, [[-1, -0.75], [1, 0.75], [0, 0]], atol=1e-6)


def test_points_are_where_the_network_saw_them(state: dict[str, torch.Tensor]) -> None:
    matcher = LighterGlue(state, torch.device("cpu"), 0.1, 1)
    one = np.ones(1, np.float32)
    stored = Features(
        np.array([[30.0, 10.0]], np.float32), one, np.ones((1, 64), np.float32), (320, 240), orientation=6
    )
    given = matcher._input([stored])
    assert given["image_size"].tolist() == [[240, 320]]
    assert given["keypoints"].tolist() == [[[239 - 10 + 0.5, 30 + 0.5]]]


def test_points_outside_and_empty_images_are_no_errors(state: dict[str, torch.Tensor]) -> None:
    pytest.importorskip("kornia", reason="needs the extra [lighterglue]")
    matcher = LighterGlue(state, CPU, 0.1, batch_size=1)
    one = _features(20)
    outside = Features(one.keypoints + 1000, one.scores, one.descriptors, one.image_size)
    assert len(matcher.match([(one, outside)])) == 1
    assert [len(found) for found in matcher.match([(one, _features(0))])] == [0]
    assert matcher.match([]) == []


def test_without_kornia_the_extra_is_named(state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kornia.feature.lightglue", None)
    with pytest.raises(UsageError, match=r"pip install 'xfeat-cli\[lighterglue\]'"):
        LighterGlue(state, CPU, 0.1, lighterglue.BATCH_SIZE["cpu"])
