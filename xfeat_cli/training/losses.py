"""The losses of the descriptors, the reliability and the match refiner.

Points are (x, y) network pixels, (0, 0) at the centre of the top-left pixel. Source of the losses: Potje et al., CVPR
2024, with normalised descriptors, sampled where and as inference samples them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from xfeat_cli.coordinates import pixel_to_cell
from xfeat_cli.model.labels import Labels
from xfeat_cli.model.network import CELL
from xfeat_cli.synthesis.geometry import to_grid

SHARPNESS = 20.0
"""Factor on cosines before the softmax over candidates."""

_RANDOM_POSITIONS = 0.2
"""Share of correspondences that stand anywhere in their cell instead of where a keypoint is likely."""

_JITTER_PX = 1.5
"""How far from its true place the cell of image 0 is looked up, since matching does not always find the nearest."""

_UNRELIABLE = 0.15
"""Weight of a cell that the teacher finds altogether unreliable."""

_DISCONTINUITY_PX = 4.0
"""Four neighbouring pixels that go further apart than this straddle an edge in depth."""


@dataclass(frozen=True)
class Correspondences:
    """points0, points1: (B, N, 2); valid: (B, N) bool, the others are padding.

    scenes: (B,), which scene a pair shows. Points of different pairs of one scene may be the same place, so they do not
    compete. None = every pair shows another.
    """

    points0: Tensor
    points1: Tensor
    valid: Tensor
    scenes: Tensor | None = None


def joined(one: Correspondences, other: Correspondences) -> Correspondences:
    """Return those of two batches, whose scenes are different ones, as of one batch."""
    most = max(one.valid.shape[1], other.valid.shape[1])

    def padded(tensor: Tensor) -> Tensor:
        return F.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, most - tensor.shape[1]))

    scenes = [torch.arange(len(c.valid), device=c.valid.device) if c.scenes is None else c.scenes for c in (one, other)]
    return Correspondences(
        torch.cat([padded(one.points0), padded(other.points0)]),
        torch.cat([padded(one.points1), padded(other.points1)]),
        torch.cat([padded(one.valid), padded(other.valid)]),
        torch.cat([scenes[0], scenes[1] + scenes[0].max() + 1]),
    )


def choose_correspondences(
    generator: Generator, probabilities1: Tensor, to0: Tensor, visible: Tensor, count: int
) -> Correspondences:
    """Choose at most one point in a cell of image 1, likelier where a keypoint is likely: probabilities (B, 65,
    h, w).
    """
    batch, _, rows, columns = probabilities1.shape
    likely = probabilities1[:, :-1].flatten(2).clamp_min(1e-6).log()
    gumbel = -torch.rand(likely.shape, generator=generator, device=generator.device).clamp(1e-6, 1 - 1e-6).log()
    anywhere = torch.rand((batch, 1, likely.shape[2]), generator=generator, device=generator.device) < _RANDOM_POSITIONS
    inside = torch.where(anywhere, -gumbel.log(), likely - gumbel.log()).argmax(1)
    best = likely.gather(1, inside[:, None])[:, 0]
    cell = torch.arange(rows * columns, device=inside.device)
    x = cell % columns * CELL + inside % CELL
    y = cell // columns * CELL + inside // CELL
    index = y * to0.shape[2] + x
    seen = visible.flatten(1).gather(1, index)
    order = torch.rand(best.shape, generator=generator, device=generator.device).clamp(1e-6, 1 - 1e-6)
    key = torch.where(seen, 0.5 * best - (-order.log()).log(), -torch.inf)
    chosen = key.topk(min(count, key.shape[1]), 1).indices
    points0 = to0.flatten(1, 2).gather(1, index.gather(1, chosen)[..., None].expand(-1, -1, 2))
    points1 = torch.stack([x.gather(1, chosen), y.gather(1, chosen)], -1).float()
    return Correspondences(points0, points1, seen.gather(1, chosen))


def sample(maps: Tensor, points: Tensor, mode: str = "bicubic") -> Tensor:
    """Return values of maps of cells (B, D, h, w) at points (B, N, 2), edges clamped: (B, N, D)."""
    grid = to_grid(pixel_to_cell(points, CELL), (maps.shape[2], maps.shape[3]))
    sampled = F.grid_sample(maps, grid[:, None], mode=mode, padding_mode="border", align_corners=False)
    return sampled[:, :, 0].mT


def descriptor_loss(features0: Tensor, features1: Tensor, chosen: Correspondences) -> tuple[Tensor, Tensor]:
    """Return negative log-likelihood of the correspondences of all pairs together, so that other images' points compete
    too.

    Every pair counts as much as any other, however few correspondences it has: real pairs have few.

    Returns the loss and each correspondence's confidence (B, N): the product of its probabilities both ways.
    """
    d0 = F.normalize(sample(F.normalize(features0, dim=1), chosen.points0), dim=-1).flatten(0, 1)
    d1 = F.normalize(sample(F.normalize(features1, dim=1), chosen.points1), dim=-1).flatten(0, 1)
    valid = chosen.valid.flatten()
    similarity = SHARPNESS * d0 @ d1.T
    if chosen.scenes is not None:
        pair = torch.arange(len(chosen.valid), device=valid.device)
        unknown = (chosen.scenes[:, None] == chosen.scenes) & (pair[:, None] != pair)
        each = chosen.valid.shape[1]
        unknown = unknown.repeat_interleave(each, 0).repeat_interleave(each, 1)
        similarity = similarity.masked_fill(unknown, -torch.inf)
    forward = similarity.masked_fill(~valid[None], -torch.inf).log_softmax(1).diagonal()
    backward = similarity.masked_fill(~valid[:, None], -torch.inf).log_softmax(0).diagonal()
    likelihood = torch.where(valid, forward + backward, 0)
    loss = -(likelihood * _weights(chosen.valid).flatten()).sum() / 2
    return loss, (likelihood.detach().exp() * valid).view_as(chosen.valid)


def _weights(valid: Tensor) -> Tensor:
    """Return weights of correspondences (B, N), so that those of a pair weigh the same, all pairs that have any
    weigh the same, and all together weigh 1.
    """
    each = valid / valid.sum(1, keepdim=True).clamp_min(1)
    return each / valid.any(1).sum().clamp_min(1)


def reliability_loss(reliability0: Tensor, reliability1: Tensor, chosen: Correspondences, confidence: Tensor) -> Tensor:
    """Return cross-entropy of the reliability (B, 1, h, w) at both ends against the confidence (B, N)."""
    losses = [
        F.binary_cross_entropy(
            sample(reliability, points, "bilinear")[..., 0].clamp(1e-4, 1 - 1e-4), confidence, reduction="none"
        )
        for reliability, points in ((reliability0, chosen.points0), (reliability1, chosen.points1))
    ]
    weight = _weights(chosen.valid)
    return sum((loss * weight).sum() for loss in losses) / 2  # type: ignore[return-value]


@dataclass(frozen=True)
class CellMatches:
    """Cells that show the same place: image (M,), flat cell indices cell0, cell1 (M,), offsets (M, 2) as `Labels`."""

    image: Tensor
    cell0: Tensor
    cell1: Tensor
    offsets: Tensor


def match_cells(
    generator: Generator, to0: Tensor, visible: Tensor, size: tuple[int, int], count: int, labels: Labels
) -> CellMatches:
    """Choose, for cells of image 1, about `count` an image, a cell of image 0 near the point that they show."""
    rows, columns = size
    cell = torch.arange(rows * columns, device=to0.device)
    first_x, first_y = cell % columns * CELL, cell // columns * CELL
    low = int(labels.reference)
    corners = torch.stack(
        [(first_y + low + dy) * to0.shape[2] + first_x + low + dx for dy in (0, 1) for dx in (0, 1)], -1
    )
    around = to0.flatten(1, 2)[:, corners]
    seen = visible.flatten(1)[:, corners].all(-1)
    smooth = (around.amax(2) - around.amin(2)).amax(-1) < _DISCONTINUITY_PX
    point0 = around.mean(2)
    jitter = torch.rand(point0.shape, generator=generator, device=generator.device) * 2 - 1
    shifted = point0 + _JITTER_PX * jitter
    column0 = ((shifted[..., 0] + 0.5) / CELL).floor().long()
    row0 = ((shifted[..., 1] + 0.5) / CELL).floor().long()
    inside = (column0 >= 0) & (column0 < columns) & (row0 >= 0) & (row0 < rows)
    share = count / (rows * columns)
    drawn = torch.rand(seen.shape, generator=generator, device=generator.device) < share
    image, cell1 = (seen & smooth & inside & drawn).nonzero(as_tuple=True)
    column0, row0 = column0[image, cell1], row0[image, cell1]
    reference0 = torch.stack([column0, row0], -1) * CELL + labels.reference
    offsets = point0[image, cell1] - reference0
    return CellMatches(image, row0 * columns + column0, cell1, offsets)


def refiner_loss(
    refiner: Callable[[Tensor, Tensor], Tensor],
    features0: Tensor,
    features1: Tensor,
    cells: CellMatches,
    labels: Labels,
) -> Tensor:
    """Return cross-entropy of the refiner's answer for raw descriptors of matched cells."""
    d0 = features0.flatten(2)[cells.image, :, cells.cell0]
    d1 = features1.flatten(2)[cells.image, :, cells.cell1]
    likelihood = torch.log_softmax(labels.sharpness * refiner(d0, d1), 1)
    return -(labels.targets(cells.offsets) * likelihood).sum(1).mean()


def teacher_descriptor_loss(features: Tensor, taught: Tensor, reliability: Tensor) -> Tensor:
    """Return one minus the cosine between the network's and the teacher's descriptors (B, 64, h, w) of all cells.

    A cell counts as much as the teacher's reliability (B, 1, h, w) there, and a little more: what it finds unreliable
    is hardly ever matched.
    """
    weight = reliability + _UNRELIABLE
    return ((1 - F.cosine_similarity(features, taught, dim=1)[:, None]) * weight).sum() / weight.sum()
