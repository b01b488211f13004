"""Exact answers, one for each fault of the reference decoding that ours must not have (numbers as in network.md)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.coordinates import pixel_to_cell, pixel_to_grid, rescale
from xfeat_cli.model import decode, peaks
from xfeat_cli.model.decode import Decoded
from xfeat_cli.model.heatmap import from_logits as heatmap_of
from xfeat_cli.model.network import CELL

THRESHOLD = 0.05


def _bumps(size: tuple[int, int], *peaks: tuple[float, float], height: float = 0.12, sigma: float = 0.7) -> Tensor:
    """A heatmap (H, W) of Gaussian bumps at the points (x, y)."""
    y, x = torch.meshgrid(torch.arange(size[0]).float(), torch.arange(size[1]).float(), indexing="ij")
    heatmap = torch.zeros(size)
    for px, py in peaks:
        heatmap = heatmap + height * torch.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
    return heatmap


def _heads(heatmap: Tensor, reliability: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Network outputs that decode to the heatmap (H, W) or (B, H, W); random descriptors, reliability 1 by default."""
    heatmap = heatmap if heatmap.ndim == 3 else heatmap[None]
    padded = F.pad(heatmap, (0, -heatmap.shape[2] % 32, 0, -heatmap.shape[1] % 32))
    cells = F.pixel_unshuffle(padded[:, None], CELL)
    probabilities = torch.cat([cells, 1 - cells.sum(1, keepdim=True)], 1)
    assert probabilities.min() >= 0, "the bumps of a cell must leave room for the dustbin"
    shape = (len(cells), 64, *cells.shape[-2:])
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if reliability is None:
        reliability = torch.ones(len(cells), 1, *cells.shape[-2:])
    return features, heatmap_of(probabilities.log()), reliability


def _sparse(heatmap: Tensor, top_k: int = 100, reliability: Tensor | None = None) -> Decoded:
    size = (heatmap.shape[-2], heatmap.shape[-1])
    (decoded,) = decode.sparse(_heads(heatmap, reliability), size, top_k, THRESHOLD)
    return decoded


def _random_heatmap(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) / 80


# Fault 1: whole-pixel keypoints


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.4, 0.49, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("base", [12.0, 15.0, 16.0])  # inside a cell, and on either side of a cell's border
def test_keypoints_are_found_between_pixels(base: float, fraction: float) -> None:
    truth = (base + fraction, 20.0 - fraction)
    points = _sparse(_bumps((48, 40), truth)).points
    assert points.shape == (1, 2)
    np.testing.assert_allclose(points[0], truth, atol=0.03)


def test_positions_have_no_preferred_side() -> None:
    heatmap = _bumps((64, 96), (10.3, 12.8), (50.45, 31.7), (80.1, 50.6))
    points = sorted(_sparse(heatmap).points.tolist())
    mirrored = sorted([95 - x, 63 - y] for x, y in _sparse(heatmap.flip(0, 1)).points.tolist())
    assert len(points) == 3
    np.testing.assert_allclose(points, mirrored, atol=2e-5)


@pytest.mark.parametrize("point", [(0, 9), (1, 9), (39, 9), (38, 9), (9, 0), (9, 1), (9, 47), (9, 46), (39, 47)])
def test_the_images_edge_does_not_pull(point: tuple[int, int]) -> None:
    np.testing.assert_allclose(_sparse(_bumps((48, 40), point)).points, [point], atol=1e-5)


# Fault 2: mixed half-pixel conventions


def test_descriptors_are_those_of_grid_sample_at_pixel_centres() -> None:
    heatmap = _bumps((64, 96), (0, 0), (95, 63), (10.3, 12.8), (50.45, 31.7), (80.1, 62.5), (95, 20.5))
    heads = _heads(heatmap)
    (decoded,) = decode.sparse(heads, (64, 96), 100, THRESHOLD)
    x, y = decoded.points.T
    grid = torch.stack([pixel_to_grid(x, 96), pixel_to_grid(y, 64)], 1)[None, None]
    unit = F.normalize(heads[0], dim=1)
    sampled = F.grid_sample(unit, grid, mode="bicubic", padding_mode="border", align_corners=False)[0, :, 0].T
    assert len(decoded.points) == 6
    torch.testing.assert_close(decoded.descriptors, F.normalize(sampled, dim=1), atol=2e-5, rtol=0)


def test_descriptors_of_a_ramp_are_sampled_exactly() -> None:
    """On cells' centres and halfway between, bicubic interpolation keeps a ramp.

    The last channel makes all norms the same, and the ones undo the normalisation of the result.
    """
    columns, rows = torch.meshgrid(torch.arange(12.0), torch.arange(8.0), indexing="xy")
    rest = 400 - columns**2 - rows**2 - 1
    features = torch.stack([columns, rows, torch.ones_like(rows), rest.sqrt()])[None]
    points = torch.tensor([[[19.5, 27.5], [51.5, 19.5], [71.5, 47.5], [11.5, 11.5]]])
    sampled = decode._sample_descriptors(features, points)
    torch.testing.assert_close(sampled[..., :2] / sampled[..., 2:3], pixel_to_cell(points, CELL), atol=1e-5, rtol=0)


@pytest.mark.parametrize("point", [(0, 0), (39, 20), (20, 47), (39, 47)])
def test_the_last_row_and_column_keep_their_score(point: tuple[int, int]) -> None:
    scores = _sparse(_bumps((48, 40), point, height=0.2)).scores
    np.testing.assert_allclose(scores, [0.2], atol=1e-6)


def test_reliability_is_read_at_pixel_centres() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
    points = [(12, 20), (27, 40), (50, 33)]
    decoded = _sparse(_bumps((64, 64), *points, height=0.2), reliability=ramp)
    assert sorted(decoded.points.round().tolist()) == [list(p) for p in points]
    expected = 0.2 * pixel_to_cell(decoded.points[:, 0].round(), CELL) / 8
    torch.testing.assert_close(decoded.scores, expected, atol=1e-6, rtol=0)


SIZES = [(96, 160), (70, 101), (33, 47), (31, 31), (1, 500), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_a_cells_position_is_the_centre_of_its_first_pixel_in_both_passes(size: tuple[int, int]) -> None:
    heads = [_heads(torch.zeros(scaled)) for scaled in decode.semi_dense_sizes(size)]
    (decoded,) = decode.semi_dense(heads, size, 10_000, 0.0)
    assert decoded.scales is not None
    expected = []
    for height, width in decode.semi_dense_sizes(size):
        for y in range(0, height, CELL):
            for x in range(0, width, CELL):
                expected.append((rescale(x, size[1] / width), rescale(y, size[0] / height)))
    np.testing.assert_allclose(sorted(decoded.points.tolist()), sorted(expected), atol=1e-3)
    assert (decoded.points >= -0.5).all()
    assert (decoded.points <= torch.tensor([size[1], size[0]]) - 0.5).all()


def test_both_passes_put_the_same_pixel_at_the_same_place() -> None:
    """500 × 300 reduces to 300 × 180 and 650 × 390: what lies at p is at (p + 0.5)·s − 0.5 in each."""
    size = (300, 500)
    heads = [_heads(torch.zeros(scaled)) for scaled in decode.semi_dense_sizes(size)]
    (decoded,) = decode.semi_dense(heads, size, 10_000, 0.0)
    assert decoded.scales is not None
    for scale in (0.6, 1.3):
        members = decoded.points[(decoded.scales - 1 / scale).abs() < 1e-6]
        in_cells = rescale(members, scale) / CELL
        assert len(members) > 400
        torch.testing.assert_close(in_cells, in_cells.round(), atol=1e-4, rtol=0)
        assert in_cells.round().unique(dim=0).shape == members.shape


# Fault 5: lost corners, duplicates, unstable order


def test_the_corner_is_a_keypoint_like_any_other() -> None:
    decoded = _sparse(_bumps((48, 40), (0, 0), (20, 20)))
    assert sorted(decoded.points.round().tolist()) == [[0, 0], [20, 20]]


@pytest.mark.parametrize("at", [(0, 0), (0, 20), (20, 0), (20, 20), (7, 7), (46, 38)])
@pytest.mark.parametrize("step", [(0, 1), (1, 0), (1, 1), (1, -1)])
def test_equal_neighbours_yield_one_keypoint(at: tuple[int, int], step: tuple[int, int]) -> None:
    heatmap = torch.zeros(48, 40)
    row, column = at
    other = (row + step[0], max(0, column + step[1]))
    heatmap[row, column] = heatmap[other] = 0.2
    assert len(_sparse(heatmap).points) == 1


def test_a_plateau_yields_one_keypoint() -> None:
    heatmap = heatmap_of(torch.zeros(1, 65, 4, 4))
    heads = (torch.ones(1, 64, 4, 4), heatmap, torch.ones(1, 1, 4, 4))
    (decoded,) = decode.sparse(heads, (30, 32), 2000, 0.001)
    assert decoded.points.tolist() == [[0, 0]]


@pytest.mark.parametrize("top_k", [1, 5, 100])
def test_equal_scores_come_in_the_order_of_their_pixels(top_k: int) -> None:
    heatmap = torch.zeros(2, 64, 64)
    heatmap[:, 4::8, 4::8] = 0.25
    for decoded in decode.sparse(_heads(heatmap), (64, 64), top_k, THRESHOLD):
        expected = [[x, y] for y in range(4, 64, 8) for x in range(4, 64, 8)]
        assert decoded.points.round().tolist() == expected[:top_k]


def test_equal_cells_come_in_the_order_of_their_pass_and_pixels() -> None:
    size = (80, 80)
    heads = [_heads(torch.zeros(scaled)) for scaled in decode.semi_dense_sizes(size)]
    (decoded,) = decode.semi_dense(heads, size, 10, 0.0)
    (again,) = decode.semi_dense(heads, size, 10, 0.0)
    assert decoded.scales is not None
    np.testing.assert_allclose(decoded.scales, [1 / 0.6] * 2 + [1 / 1.3] * 8, rtol=1e-6)
    assert torch.equal(decoded.points, again.points)
    np.testing.assert_allclose(decoded.points[:2], [[1 / 3, 1 / 3], [8.5 / 0.6 - 0.5, 1 / 3]], atol=1e-4)


def test_the_best_come_first() -> None:
    decoded = _sparse(_random_heatmap(1, 64, 96) * 8 * (torch.rand(64, 96) > 0.9), top_k=17)
    assert len(decoded.scores) == 17
    assert (decoded.scores.diff() <= 0).all()
    everything = _sparse(_bumps((48, 40), (9, 9), height=0.1) + _bumps((48, 40), (30, 30), height=0.2), top_k=1)
    assert everything.points.round().tolist() == [[30, 30]]


# Fault 6: nothing to find, tiny images, small top_k


def test_no_keypoints_is_a_result() -> None:
    empty, full = decode.sparse(
        _heads(torch.stack([torch.zeros(48, 40), _bumps((48, 40), (9, 9))])), (48, 40), 100, THRESHOLD
    )
    assert (empty.points.shape, empty.scores.shape, empty.descriptors.shape) == ((0, 2), (0,), (0, 64))
    assert len(full.points) == 1


@pytest.mark.parametrize("size", SIZES)
def test_tiny_images_are_padded_to_what_the_network_takes(size: tuple[int, int]) -> None:
    prepared = decode.prepare(torch.rand(1, *size))
    assert prepared.shape == (1, 1, -(-size[0] // 32) * 32, -(-size[1] // 32) * 32)
    assert prepared.isfinite().all()
    for scaled in decode.semi_dense_sizes(size):
        assert min(scaled) >= 1


@pytest.mark.parametrize("size", SIZES)
def test_keypoints_stay_in_tiny_images(size: tuple[int, int]) -> None:
    heatmap = torch.zeros(size)
    heatmap[-1, -1] = 0.3
    decoded = _sparse(heatmap)
    assert decoded.points.tolist() == [[size[1] - 1, size[0] - 1]]


@pytest.mark.parametrize("top_k", [1, 2, 3, 4, 5, 9, 100, 170, 171, 500])
def test_semi_dense_gives_as_many_as_asked_for(top_k: int) -> None:
    size = (80, 80)  # 6 × 6 and 13 × 13 cells
    heads = [_heads(torch.zeros(scaled)) for scaled in decode.semi_dense_sizes(size)]
    (decoded,) = decode.semi_dense(heads, size, top_k, 0.0)
    assert len(decoded.points) == min(top_k, 36 + 169)
    assert decoded.scales is not None
    coarse = int((decoded.scales > 1).sum())
    assert coarse == (max(1, round(0.2 * top_k)) if top_k <= 170 else coarse)


# Fault 7: padding and batch neighbours


def test_statistics_are_taken_before_padding() -> None:
    image = torch.rand(2, 40, 70) * torch.tensor([1.0, 0.2])[:, None, None]
    prepared = decode.prepare(image)
    own = prepared[:, 0, :40, :70]
    torch.testing.assert_close(own.mean((1, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(own.var((1, 2), correction=0), torch.ones(2), atol=5e-3, rtol=0)
    assert torch.equal(prepared[:, 0, 40:, :70], own[:, -1:].expand(-1, 24, -1))
    assert torch.equal(prepared[:, 0, :, 70:], prepared[:, 0, :, 69:70].expand(-1, -1, 26))


def test_statistics_are_those_of_instance_norm() -> None:
    image = torch.rand(2, 64, 96)
    torch.testing.assert_close(decode.prepare(image), F.instance_norm(image[:, None], eps=1e-5), atol=1e-5, rtol=0)


def test_a_flat_image_stays_finite() -> None:
    assert torch.equal(decode.prepare(torch.full((1, 40, 40), 0.5)), torch.zeros(1, 1, 64, 64))


def test_nothing_is_found_in_the_padding() -> None:
    heads = _heads(_bumps((64, 64), (10, 10), (45, 10), (10, 45)))
    (decoded,) = decode.sparse(heads, (40, 42), 100, THRESHOLD)
    assert decoded.points.round().tolist() == [[10, 10]]


def test_batch_neighbours_do_not_matter() -> None:
    heatmaps = torch.stack([_random_heatmap(i, 64, 96) * 5 * (i + 1) / 8 for i in range(3)])
    features, heats, reliability = _heads(heatmaps, torch.rand(3, 1, 8, 12))
    together = decode.sparse((features, heats, reliability), (60, 90), 50, 0.005)
    for i, one in enumerate(together):
        (alone,) = decode.sparse((features[i : i + 1], heats[i : i + 1], reliability[i : i + 1]), (60, 90), 50, 0.005)
        assert torch.equal(one.points, alone.points)
        assert torch.equal(one.scores, alone.scores)
        torch.testing.assert_close(one.descriptors, alone.descriptors, atol=1e-6, rtol=0)


# Fault 8: the two ways to find peaks


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (1, 500), (1, 1), (5, 3)])
@pytest.mark.parametrize("top_k", [7, 4096])
@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_to_find_peaks_agree(size: tuple[int, int], top_k: int, masked: bool) -> None:
    heatmap = _random_heatmap(3, 3, *size)
    heatmap[1] = 0
    heatmap[2] = (heatmap[2] * 400).round() / 400  # many equal values
    cells = [math.ceil(side / 32) * 4 for side in size]
    reliability = torch.rand(3, 1, *cells, generator=torch.Generator().manual_seed(4)) + 0.1
    reliability[2] = 0.5
    allowed = torch.rand(3, *size, generator=torch.Generator().manual_seed(5)) > 0.3 if masked else None
    points, scores, keep = peaks._peaks(heatmap, reliability, top_k, 0.004, allowed)
    points_cpu, scores_cpu, keep_cpu = peaks._peaks_on_cpu(heatmap, reliability, top_k, 0.004, allowed)
    assert not keep_cpu[1].any()
    for i in range(3):
        assert keep_cpu[i].sum() == keep[i].sum()
        torch.testing.assert_close(points[i][keep[i]], points_cpu[i][keep_cpu[i]], atol=1e-4, rtol=0)
        torch.testing.assert_close(scores[i][keep[i]], scores_cpu[i][keep_cpu[i]], atol=1e-6, rtol=0)


def test_the_one_transfer_keeps_what_belongs_together() -> None:
    random = torch.Generator().manual_seed(0)
    points, scores, descriptors = (torch.rand(2, 5, *more, generator=random) for more in ((2,), (), (64,)))
    keep = torch.tensor([[True] * 5, [True, False, True, False, False]])
    for scales in (None, torch.rand(2, 5, generator=random)):
        whole, part = decode._kept(keep, points, scores, descriptors, scales)
        packed = decode._packed(keep, points, scores, descriptors, scales)
        for one, values in ((whole, 0), (part, 1)):
            for found in (one, decode._unpacked(packed, scales is not None)[values]):
                assert torch.equal(found.points, points[values][keep[values]])
                assert torch.equal(found.scores, scores[values][keep[values]])
                assert torch.equal(found.descriptors, descriptors[values][keep[values]])
                assert (found.scales is None) == (scales is None)
                if scales is not None:
                    assert torch.equal(found.scales, scales[values][keep[values]])


# Fault 9: confidences thrown away


def test_semi_dense_scores_are_the_reliability_of_the_cells() -> None:
    size = (80, 80)
    heads = []
    for scaled in decode.semi_dense_sizes(size):
        features, heatmap, reliability = _heads(torch.zeros(scaled))
        heads.append((features, heatmap, torch.rand_like(reliability)))
    (decoded,) = decode.semi_dense(heads, size, 10_000, 0.0)
    assert decoded.scales is not None
    for (features, _, reliability), scale, cells in zip(heads, (0.6, 1.3), (6, 13), strict=True):
        own = (decoded.scales - 1 / scale).abs() < 1e-6
        columns, rows = (rescale(decoded.points[own], scale) / CELL).round().long().T
        assert int(own.sum()) == cells**2
        assert torch.equal(decoded.scores[own], reliability[0, 0, rows, columns])
        assert torch.equal(decoded.descriptors[own], features[0, :, rows, columns].T)
    assert (decoded.scores.diff() <= 0).all()


# Masks


def test_masked_out_pixels_hold_no_keypoint_and_the_others_stay() -> None:
    heatmap = _random_heatmap(6, 1, 96, 128)
    mask = torch.zeros(1, 96, 128, dtype=torch.bool)
    mask[0, 17:80, 23:101] = True
    mask[0, 40:50, 40:50] = False
    heads = _heads(heatmap)
    (free,) = decode.sparse(heads, (96, 128), 4096, 0.006)
    (masked,) = decode.sparse(heads, (96, 128), 4096, 0.006, mask)
    allowed = {tuple(p) for p in free.points.tolist() if mask[0, round(p[1]), round(p[0])]}
    found = {tuple(p) for p in masked.points.tolist()}
    assert found <= {tuple(p) for p in free.points.tolist()}
    near_the_edge = found ^ allowed  # a peak and its centroid may lie on two sides of the edge
    assert len(near_the_edge) < 0.05 * len(found)
    assert len(found) > 100


def test_masked_out_cells_hold_no_feature_and_the_others_stay() -> None:
    size = (80, 80)
    heads = [_heads(torch.zeros(scaled)) for scaled in decode.semi_dense_sizes(size)]
    mask = torch.ones(1, *size, dtype=torch.bool)
    mask[0, :, 40:] = False
    (free,) = decode.semi_dense(heads, size, 10_000, 0.0)
    (masked,) = decode.semi_dense(heads, size, 10_000, 0.0, mask)
    expected = [p for p in free.points.tolist() if p[0] < 39.5]
    assert sorted(masked.points.tolist()) == sorted(expected)
    assert 0 < len(expected) < len(free.points)


def test_everything_masked_out_is_a_result() -> None:
    mask = torch.zeros(1, 48, 40, dtype=torch.bool)
    (decoded,) = decode.sparse(_heads(_bumps((48, 40), (9, 9))), (48, 40), 100, THRESHOLD, mask)
    assert len(decoded.points) == 0
