"""One training step on one process: make pairs, run the network, add up the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from xfeat_cli.config import ExtractConfig
from xfeat_cli.model import heatmap
from xfeat_cli.model.decode import prepare
from xfeat_cli.model.labels import CENTRE
from xfeat_cli.model.network import CELL, Refiner, XFeatNetwork
from xfeat_cli.synthesis.geometry import Strength
from xfeat_cli.synthesis.light import Light
from xfeat_cli.synthesis.pairs import Pairs, make_pairs
from xfeat_cli.training import keypoint_losses, losses
from xfeat_cli.training.config import Part, TrainConfig
from xfeat_cli.training.photos import cut_canvases
from xfeat_cli.training.real_pairs import RealPairs, draw_real_pairs
from xfeat_cli.training.tracks import Tracks

STRENGTH = Strength()
LIGHT = Light()
"""What training pairs undergo."""

_CELLS = 800
"""Cells of an image from which the refiner learns in a step."""


class Model(nn.Module):
    """All that is trained: the network with its heads, and the refiner. Its state is that of a weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.network = XFeatNetwork()
        self.refiner = Refiner()

    def parts(self) -> dict[Part, list[nn.Module]]:
        """The modules of each part."""
        head = self.network.keypoint_head
        return {
            Part.NETWORK: [module for module in self.network.children() if module is not head],
            Part.KEYPOINTS: [head],
            Part.REFINER: [self.refiner],
        }

    def learn_only(self, parts: Sequence[Part]) -> None:
        """Freeze the other parts, their running statistics too."""
        for part, modules in self.parts().items():
            for module in modules:
                module.train(part in parts).requires_grad_(part in parts)

    def weights(self) -> dict[str, Tensor]:
        """The tensors of a weights file, by name; not copies."""
        return self.network.state_dict() | self.refiner.state_dict()

    def load_weights(self, state: dict[str, Tensor]) -> None:
        """Start from the tensors of a weights file; one without a refiner leaves the refiner as it is."""
        self.network.load_state_dict(state, strict=False)
        self.refiner.load_state_dict(state, strict=False)


@dataclass(frozen=True)
class Guides:
    """What the network is taught by beside the correspondences.

    detector: prepared images (B, 1, H, W) → probabilities (B, 65, h, w), the target of the keypoint head, which sees
    the same images: a target from clean ones would be learned as a blur. teacher: a network whose descriptors and
    reliability on images before the change of light are what the network learns to give after it.
    """

    detector: Callable[[Tensor], Tensor]
    teacher: XFeatNetwork | None = None


def draw_pairs(generator: Generator, photos: Sequence[Tensor], count: int, crop: tuple[int, int]) -> Pairs:
    """`count` random pairs of crops of (width, height)."""
    view = (crop[1], crop[0])
    return make_pairs(generator, cut_canvases(generator, photos, count, view), view, STRENGTH, LIGHT)


@dataclass(frozen=True)
class Batch:
    """What a step learns from: synthetic pairs, and real ones if there is a model of a scene.

    Only descriptors and reliability learn from real pairs: their points are known to about a pixel and anywhere in
    their cells, while the refiner learns the sub-pixel place of cell centres, and keypoints theirs.
    """

    pairs: Pairs
    real: RealPairs | None = None

    def __len__(self) -> int:
        return len(self.pairs.image0) + (0 if self.real is None else len(self.real.image0))


def draw_batch(
    generator: Generator,
    photos: Sequence[Tensor],
    tracks: Tracks | None,
    count: int,
    crop: tuple[int, int],
    config: TrainConfig,
) -> Batch:
    """About `count` random pairs; with `tracks`, config's share of them real, and at least one synthetic."""
    if tracks is None:
        return Batch(draw_pairs(generator, photos, count, crop))
    real = int(config.multi_view_share * count + float(torch.rand((), generator=generator, device=generator.device)))
    pairs = draw_pairs(generator, photos, max(1, count - real), crop)
    if real == 0:
        return Batch(pairs)
    return Batch(pairs, draw_real_pairs(generator, tracks, real, (crop[1], crop[0]), config.points, LIGHT))


def compute_losses(
    generator: Generator, model: Model, guides: Guides, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """Each loss of a batch by the name of its factor in `LossWeights`, not yet multiplied."""
    pairs = batch.pairs
    images = _prepared(pairs.image0, pairs.image1)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        target = guides.detector(images)
    if Part.KEYPOINTS in config.parts:
        found |= _keypoint_losses(model, images, target, pairs)
    if Part.NETWORK in config.parts:
        everything = images if batch.real is None else _prepared(*_joined(batch, "image0", "image1"))
        features = model.network.describe(everything).float()
        found |= _network_losses(generator, model, guides, features, target, batch, config)
    elif Part.REFINER in config.parts:
        with torch.no_grad():
            features = model.network.describe(images).float()
    if Part.REFINER in config.parts:
        found["refiner"] = _refiner_loss(generator, model, features, pairs)
    return found


def _keypoint_losses(model: Model, images: Tensor, target: Tensor, pairs: Pairs) -> dict[str, Tensor]:
    def keypoint_logits(image: Tensor) -> Tensor:
        return model.network.keypoint_head(F.pixel_unshuffle(image, CELL)).float()

    logits = keypoint_logits(images)
    heat = heatmap.averaged(heatmap.from_logits(logits), keypoint_logits, images, ExtractConfig().grids)
    return {
        "keypoint": keypoint_losses.target_loss(logits, target),
        "localisation": keypoint_losses.localisation_loss(*_halves(heat), pairs.to0, pairs.visible),
    }


def _network_losses(
    generator: Generator,
    model: Model,
    guides: Guides,
    features: Tensor,
    target: Tensor,
    batch: Batch,
    config: TrainConfig,
) -> dict[str, Tensor]:
    pairs = batch.pairs
    reliability = model.network.heatmap_head(features).float()
    target1 = target[len(pairs.image0) :]
    features0, features1 = _halves(features)
    chosen = losses.choose_correspondences(generator, target1, pairs.to0, pairs.visible, config.points)
    if batch.real is not None:
        chosen = losses.joined(chosen, batch.real.chosen)
    descriptor, confidence = losses.descriptor_loss(features0, features1, chosen)
    found = {
        "descriptor": descriptor,
        "reliability": losses.reliability_loss(*_halves(reliability), chosen, confidence),
    }
    if guides.teacher is not None:
        with torch.no_grad():
            taught = guides.teacher.describe(_prepared(*_joined(batch, "clean0", "clean1"))).float()
            taught_reliability = guides.teacher.heatmap_head(taught)
        found["teacher"] = losses.teacher_descriptor_loss(features, taught)
        found["teacher_reliability"] = (reliability - taught_reliability).abs().mean()
    return found


def _refiner_loss(generator: Generator, model: Model, features: Tensor, pairs: Pairs) -> Tensor:
    size = (features.shape[2], features.shape[3])
    cells = losses.match_cells(generator, pairs.to0, pairs.visible, size, _CELLS, CENTRE)
    features0, features1 = _halves(features)  # of real pairs too, behind those that the cells are of
    return losses.refiner_loss(model.refiner, features0, features1, cells, CENTRE)


def _halves(batch: Tensor) -> tuple[Tensor, Tensor]:
    """What belongs to images 0 and what to images 1."""
    one, two = batch.chunk(2)
    return one, two


def total(found: dict[str, Tensor], config: TrainConfig) -> Tensor:
    """The losses times their factors, added."""
    factors = asdict(config.losses)
    return torch.stack([factors[name] * loss for name, loss in found.items()]).sum()


def _joined(batch: Batch, *names: str) -> list[Tensor]:
    """Images of all pairs, synthetic ones first, by the names of their fields."""
    sources = [batch.pairs] if batch.real is None else [batch.pairs, batch.real]
    return [torch.cat([getattr(source, name) for source in sources]) for name in names]


def _prepared(image0: Tensor, image1: Tensor) -> Tensor:
    return prepare(torch.cat([image0, image1])[:, 0])
