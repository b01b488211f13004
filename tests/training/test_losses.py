"""Exact answers of the losses, and that training on a batch makes every one of them fall."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from xfeat_cli.model.heatmap import from_logits
from xfeat_cli.model.labels import CENTRE
from xfeat_cli.model.network import CELL
from xfeat_cli.training import keypoint_losses, losses
from xfeat_cli.training.config import LossWeights, Part, TrainConfig
from xfeat_cli.training.corners import corner_probabilities
from xfeat_cli.training.losses import Correspondences
from xfeat_cli.training.optimizer import _orthogonal, optimizers
from xfeat_cli.training.photos import load_photos
from xfeat_cli.training.step import Batch, Guides, Model, compute_losses, draw_batch, total
from xfeat_cli.training.turns import turned, turned_back

SIZE = (64, 96)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def still(count: int = 1, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """to0 of pairs whose views are the same: (count, H, W, 2)."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return torch.stack([x, y], -1).float().expand(count, -1, -1, -1)


def test_identical_distinct_descriptors_are_certain_matches() -> None:
    features = 9 * torch.nn.functional.one_hot(torch.arange(6), 64).float().T.view(1, 64, 2, 3)
    cells = torch.tensor([[[3.5 + 8 * x, 3.5 + 8 * y] for y in range(2) for x in range(3)]])
    chosen = Correspondences(cells, cells, torch.ones(1, 6, dtype=torch.bool))
    loss, confidence = losses.descriptor_loss(features, features, chosen)
    expected = math.log(1 + 5 * math.exp(-losses.SHARPNESS))
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(confidence, torch.full((1, 6), math.exp(-2 * expected)))


def test_equal_descriptors_are_a_coin_with_as_many_sides() -> None:
    features = torch.ones(1, 64, 2, 2)
    cells = torch.tensor([[[3.5, 3.5], [11.5, 3.5], [3.5, 11.5], [11.5, 11.5]]])
    valid = torch.tensor([[True, True, True, False]])
    loss, confidence = losses.descriptor_loss(features, features, Correspondences(cells, cells, valid))
    assert loss.item() == pytest.approx(math.log(3), abs=1e-5)
    torch.testing.assert_close(confidence, torch.tensor([[1 / 9, 1 / 9, 1 / 9, 0]]))


def test_every_pair_counts_the_same_however_few_its_correspondences() -> None:
    features = torch.randn(2, 64, *(side // CELL for side in SIZE), generator=generator())
    places = torch.rand(2, 9, 2, generator=generator(1)) * 60
    valid = torch.ones(2, 9, dtype=torch.bool)
    valid[1, 2:] = False
    chosen = Correspondences(places, places + 1, valid, torch.zeros(2, dtype=torch.long))
    together, confidence = losses.descriptor_loss(features, features, chosen)
    alone = [
        losses.descriptor_loss(features[[i]], features[[i]], Correspondences(places[[i]], places[[i]] + 1, valid[[i]]))[
            0
        ].item()
        for i in (0, 1)
    ]
    assert together.item() == pytest.approx(sum(alone) / 2, rel=1e-5)
    reliability = torch.full((2, 1, 8, 12), 0.25)
    reliability[1] = 0.5
    certain = losses.reliability_loss(reliability, reliability, chosen, torch.ones_like(confidence))
    assert certain.item() == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-5)


def test_a_teacher_counts_where_it_is_reliable() -> None:
    taught = torch.zeros(1, 64, 1, 2)
    taught[:, 0] = 3.0
    features = torch.zeros(1, 64, 1, 2)
    features[0, 0, 0, 0], features[0, 1, 0, 1] = 5.0, 1.0  # the same direction, and one at right angles
    reliability = torch.tensor([[[[0.85, 0.35]]]])
    loss = losses.teacher_descriptor_loss(features, taught, reliability)
    assert loss.item() == pytest.approx(0.5 / 1.5, abs=1e-6)


def test_teachers_alone_are_learned_from_single_crops(photos_folder: Path) -> None:
    torch.manual_seed(0)
    photos = list(load_photos([photos_folder], 0, 100, 0, print).values())
    only = LossWeights(**{**dict.fromkeys(asdict(LossWeights()), 0.0), "teacher": 4.0, "teacher_reliability": 1.0})
    config = TrainConfig(parts=(Part.NETWORK,), losses=only, teachers=("one", "two"))
    assert not config.needs_pairs
    batch = draw_batch(generator(1), photos, None, 3, (96, 64), config)
    assert batch.pairs is None
    assert len(batch) == 3
    assert batch.images().shape == (6, 1, 64, 96)
    assert not torch.equal(batch.images(), batch.clean())
    model = Model().eval()
    teachers = [Model().network.eval().requires_grad_(False) for _ in range(2)]

    def computed(*guiding: torch.nn.Module) -> dict[str, torch.Tensor]:
        return compute_losses(generator(2), model, Guides(corner_probabilities, guiding), batch, config)  # type: ignore[arg-type]

    both, first, second = computed(*teachers), computed(teachers[0]), computed(teachers[1])
    assert set(both) == {"teacher", "teacher_reliability"}
    for name, loss in both.items():
        assert loss.item() == pytest.approx((first[name].item() + second[name].item()) / 2, rel=1e-5)
    itself = Model().eval()
    clean = Batch(crops=replace(batch.crops, image=batch.crops.clean))  # type: ignore[type-var]
    same = compute_losses(generator(2), itself, Guides(corner_probabilities, [itself.network]), clean, config)
    assert same["teacher"].item() == pytest.approx(0, abs=1e-5)
    assert same["teacher_reliability"].item() == 0


def test_a_bias_shows_in_the_mirror() -> None:
    logits = torch.full((1, 65, 8, 12), -6.0)
    logits[:, 64] = 0
    logits[0, 8 * 3 + 4, 2, 5] = 8  # a keypoint at pixel (44, 19); what it stands for lies one px further left
    heat = from_logits(logits)
    visible = torch.ones(1, *SIZE, dtype=torch.bool)
    mirrored = turned_back(torch.roll(turned(heat.roll(-1, 2), 4), 1, 2), 4)  # the head puts it right again
    for other, expected in ((heat, 0.0), (mirrored, 2.0)):
        apart = keypoint_losses.localisation_loss(heat, other, still(), visible)
        assert apart.item() == pytest.approx(math.sqrt(expected**2 + 1e-3), abs=0.01)


def test_sampling_gives_a_cell_its_own_value_at_its_centre() -> None:
    maps = torch.arange(12.0).view(1, 1, 3, 4)
    sampled = losses.sample(maps, torch.tensor([[[3.5, 3.5], [27.5, 19.5], [11.5, 11.5]]]))
    torch.testing.assert_close(sampled[0, :, 0], torch.tensor([0.0, 11.0, 5.0]))


def test_correspondences_stand_where_the_map_says_and_only_where_visible() -> None:
    visible = torch.zeros(1, *SIZE, dtype=torch.bool)
    visible[:, 16:40, 8:64] = True
    probabilities = torch.full((1, 65, SIZE[0] // CELL, SIZE[1] // CELL), 1 / 65)
    chosen = losses.choose_correspondences(generator(), probabilities, still() + 100, visible, 50)
    torch.testing.assert_close(chosen.points0, chosen.points1 + 100)
    x, y = chosen.points1[chosen.valid].unbind(-1)
    assert len(x) == 3 * 7  # one for each visible cell
    assert (x >= 8).all()
    assert (x < 64).all()
    assert (y >= 16).all()
    assert (y < 40).all()


@pytest.mark.parametrize("shift", [0.0, 1.25, -2.5])
def test_matched_cells_have_the_offset_of_their_views(shift: float) -> None:
    visible = torch.ones(1, *SIZE, dtype=torch.bool)
    cells = losses.match_cells(generator(), still() + shift, visible, (8, 12), 10_000, CENTRE)
    assert len(cells.image) > 50
    column = cells.cell0 % 12 - cells.cell1 % 12
    row = cells.cell0 // 12 - cells.cell1 // 12
    torch.testing.assert_close(
        cells.offsets + CELL * torch.stack([column, row], -1), torch.full_like(cells.offsets, shift)
    )
    assert cells.offsets.abs().max() <= CELL / 2 + 1.5


def test_cells_across_an_edge_in_depth_teach_nothing() -> None:
    to0 = still().clone()
    to0[:, :, 48:, 0] += 30
    cells = losses.match_cells(generator(), to0, torch.ones(1, *SIZE, dtype=torch.bool), (8, 12), 10_000, CENTRE)
    assert len(cells.image) > 0
    edge = still().clone()
    edge[:, :, 52:, 0] += 30  # between the two middle pixels of the cells of column 6
    crossing = losses.match_cells(generator(), edge, torch.ones(1, *SIZE, dtype=torch.bool), (8, 12), 10_000, CENTRE)
    assert not (crossing.cell1 % 12 == 6).any()


def test_keypoints_at_corresponding_places_cost_nothing() -> None:
    logits = torch.full((1, 65, 8, 12), -6.0)
    logits[:, 64] = 0
    logits[0, 8 * 3 + 4, 2, 5] = 8
    visible = torch.ones(1, *SIZE, dtype=torch.bool)
    heat, elsewhere = from_logits(logits), from_logits(torch.roll(logits, 4, 3))
    same = keypoint_losses.localisation_loss(heat, heat, still(), visible)
    moved = keypoint_losses.localisation_loss(heat, heat, still() + 1, visible)
    assert same.item() == pytest.approx(math.sqrt(1e-3), abs=1e-3)
    assert moved.item() == pytest.approx(math.sqrt(2), abs=0.01)
    assert keypoint_losses.localisation_loss(elsewhere, heat, still(), visible).item() == 0


def test_the_target_itself_is_the_least_divergence() -> None:
    target = torch.softmax(torch.randn(2, 65, 3, 4, generator=generator()), 1)
    assert keypoint_losses.target_loss(target.log(), target).item() == pytest.approx(0, abs=1e-6)
    assert keypoint_losses.target_loss(target.log() * 0.5, target).item() > 0.01


def test_a_square_has_four_corners() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[:, :, 20:44, 20:44] = 1
    found = torch.nn.functional.pixel_shuffle(corner_probabilities(image)[:, :-1], CELL)[0, 0].nonzero().tolist()
    assert len(found) == 4
    for y, x in found:
        assert min(abs(y - 20), abs(y - 43)) <= 1
        assert min(abs(x - 20), abs(x - 43)) <= 1


def test_an_orthogonal_update_has_singular_values_near_one() -> None:
    for shape in ((24, 216), (128, 64)):
        singular = torch.linalg.svdvals(_orthogonal(torch.randn(shape, generator=generator())))
        assert singular.min() > 0.6
        assert singular.max() < 1.3


def _trained(
    photos_folder: Path, steps: int, parts: tuple[Part, ...] = tuple(Part), factors: LossWeights | None = None
) -> tuple[dict[str, float], dict[str, float], Model, Model]:
    """Losses of the first and the last step on one batch; the model before and after."""
    torch.manual_seed(0)
    photos = list(load_photos([photos_folder], 0, 100, 0, print).values())
    config = TrainConfig(points=60, parts=parts, losses=factors or LossWeights())
    batch = draw_batch(generator(1), photos, None, 2, (128, 96), config)
    teacher = Model().network.eval().requires_grad_(False)
    guides = Guides(corner_probabilities, [teacher])
    model, fresh = Model(), Model()
    fresh.load_state_dict(model.state_dict())
    model.learn_only(parts)
    steppers = optimizers(model.network, model.refiner, 0.02)
    found = []
    for _ in range(steps):
        now = compute_losses(generator(2), model, guides, batch, config)
        total(now, config).backward()
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        found.append({name: loss.item() for name, loss in now.items()})
    return found[0], found[-1], fresh, model


def test_every_loss_falls(photos_folder: Path) -> None:
    before, after, _, _ = _trained(photos_folder, 20)
    for name in ("descriptor", "teacher", "reliability", "keypoint", "refiner"):
        assert after[name] < before[name], name


@pytest.mark.parametrize("name", ["teacher_reliability", "localisation"])
def test_losses_that_pull_against_others_fall_alone(photos_folder: Path, name: str) -> None:
    only = LossWeights(**{**dict.fromkeys(asdict(LossWeights()), 0.0), "keypoint": 0.02, name: 1.0})
    before, after, _, _ = _trained(photos_folder, 12, factors=only)
    assert after[name] < before[name]


@pytest.mark.parametrize("part", list(Part))
def test_only_the_parts_asked_for_change(photos_folder: Path, part: Part) -> None:
    _, _, fresh, model = _trained(photos_folder, 2, (part,))
    heads = {Part.KEYPOINTS: "network.keypoint_head", Part.REFINER: "refiner"}
    before = fresh.state_dict()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    for name in changed:
        assert next((p for p, prefix in heads.items() if name.startswith(prefix)), Part.NETWORK) is part, name
