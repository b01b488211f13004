"""Registration of images whose exact warp is known."""

from __future__ import annotations

import numpy as np
import pytest

from xfeat_cli.refinement import registration
from xfeat_cli.refinement.pyramid import build_pyramid
from xfeat_cli.refinement.registration import Registered, register

from .texture import Texture

SIZE = (220, 180)
COUNT = 400
TEXTURE = Texture()


def rotation(degrees: float, scale: float = 1.0) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


WARPS = {
    "nothing": (np.eye(2), (0.0, 0.0)),
    "a quarter pixel": (np.eye(2), (0.25, 0.0)),
    "halves and thirds": (np.eye(2), (0.5, -1 / 3)),
    "rotation": (rotation(12), (30.2, -11.7)),
    "smaller": (0.8 * np.eye(2), (10.3, 7.2)),
    "shear": (np.array([[0.95, 0.12], [-0.05, 0.9]]), (4.4, 9.9)),
}


def found(
    matrix: np.ndarray, shift: tuple[float, float], off: float, gain: float = 1.0, bias: float = 0.0
) -> tuple[Registered, np.ndarray]:
    """COUNT points registered from starts up to `off` px wrong in x and y, and where they truly are."""
    one, two = TEXTURE.image(SIZE), gain * TEXTURE.image(SIZE, matrix, shift) + np.float32(bias)
    rng = np.random.default_rng(1)
    points = rng.uniform(30, np.array(SIZE) - 31, (COUNT, 2))
    true = points @ matrix.T + shift
    levels = [build_pyramid(image, SIZE, 1.0).levels[0] for image in (one, two)]
    start = true + rng.uniform(-off, off, true.shape)
    return register(levels[0].gray, levels[1].doubled, points, start, np.tile(matrix, (COUNT, 1, 1))), true


@pytest.mark.parametrize("warp", WARPS)
def test_shifts_are_exact(warp: str) -> None:
    registered, true = found(*WARPS[warp], off=0.7)
    inside = registered.inside
    assert inside.mean() > 0.7
    error = (registered.points - true)[inside]
    assert (registered.correlation[inside] > 0.97).all()
    np.testing.assert_allclose(error.mean(0), 0, atol=0.006)
    assert np.percentile(np.abs(error), 95) < (0.03 if warp == "smaller" else 0.01)


@pytest.mark.parametrize(("gain", "bias"), [(0.6, 0.3), (1.2, -0.2)])
def test_light_moves_nothing(gain: float, bias: float) -> None:
    plain, _ = found(*WARPS["halves and thirds"], off=0.5)
    lit, _ = found(*WARPS["halves and thirds"], off=0.5, gain=gain, bias=bias)
    np.testing.assert_allclose(lit.points, plain.points, atol=0.003)
    np.testing.assert_allclose(lit.correlation, plain.correlation, atol=1e-3)


def test_how_far_off_a_start_may_be() -> None:
    matrix, shift = WARPS["rotation"]
    for off, least in ((0.7, 0.99), (1.5, 0.9)):
        registered, true = found(matrix, shift, off)
        near = np.linalg.norm(registered.points - true, axis=1) < 0.02
        assert near[registered.inside].mean() > least
    registered, true = found(matrix, shift, off=12)
    wrong = registered.inside & (np.linalg.norm(registered.points - true, axis=1) > 1)
    assert wrong.mean() > 0.5
    assert (registered.correlation[wrong] > 0.8).mean() < 0.25
    assert np.median(registered.correlation[~wrong & registered.inside]) > 0.97


def test_noise_is_foreseen_by_the_covariance() -> None:
    rng = np.random.default_rng(3)
    points = np.stack(np.meshgrid(np.arange(24.0, 196, 19), np.arange(24.0, 156, 19)), -1).reshape(-1, 2)
    clean = TEXTURE.image(SIZE)
    z = []
    for _ in range(6):
        one, two = (clean + rng.normal(0, 0.02, clean.shape).astype(np.float32) for _ in range(2))
        levels = [build_pyramid(image, SIZE, 1.0).levels[0] for image in (one, two)]
        got = register(levels[0].gray, levels[1].doubled, points, points, np.tile(np.eye(2), (len(points), 1, 1)))
        z.append((got.points - points) / np.sqrt(got.covariance[:, (0, 1), (0, 1)]))
    spread = np.std(z)
    assert 0.05 < spread < 0.25  # white noise: about the root of what one of the window's pixels weighs


def test_windows_that_leave_an_image_are_not_registered() -> None:
    image = TEXTURE.image(SIZE)
    level = build_pyramid(image, SIZE, 1.0).levels[0]
    points = np.array([[4.0, 90], [110, 175], [110, 90], [-50, 90], [1e6, 90]])
    start = np.array([[4.0, 90], [110, 175], [215, 90], [110, 90], [110, 90]])
    registered = register(level.gray, level.doubled, points, start, np.tile(np.eye(2), (5, 1, 1)))
    assert not registered.inside.any()
    assert np.array_equal(registered.points, start)


def test_a_flat_image_gives_no_correlation() -> None:
    flat = build_pyramid(np.full(SIZE[::-1], 0.5, np.float32), SIZE, 1.0).levels[0]
    points = np.array([[100.0, 90]])
    registered = register(flat.gray, flat.doubled, points, points + 0.5, np.eye(2)[None])
    assert registered.correlation[0] < 0.1
    assert np.isfinite(registered.points).all()


def test_sampling_without_opencv_5_is_the_same() -> None:
    doubled = build_pyramid(TEXTURE.image(SIZE), SIZE, 1.0).levels[0].doubled
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(1, side - 2, (50, 9)).astype(np.float32) for side in doubled.shape[::-1])
    left, top = x.astype(int), y.astype(int)
    a, b = x - left, y - top
    values = doubled.astype(float)
    expected = (1 - b) * ((1 - a) * values[top, left] + a * values[top, left + 1]) + b * (
        (1 - a) * values[top + 1, left] + a * values[top + 1, left + 1]
    )
    np.testing.assert_allclose(registration._bilinear(doubled, x, y), expected, atol=0.1)
    np.testing.assert_allclose(registration._sample(doubled, x, y), expected, atol=0.6)
