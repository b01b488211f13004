"""One training step on one process: make pairs, run the network, add up the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Generator, Tensor, nn

from xfeat_cli.matching.labels import CENTRE
from xfeat_cli.model.decode import prepare
from xfeat_cli.model.network import Refiner, XFeatNetwork
from xfeat_cli.synthesis.geometry import Strength
from xfeat_cli.synthesis.light import Light
from xfeat_cli.synthesis.pairs import Pairs, make_pairs
from xfeat_cli.training import keypoint_losses, losses
from xfeat_cli.training.config import TrainConfig
from xfeat_cli.training.photos import cut_canvases

STRENGTH = Strength()
LIGHT = Light()
"""What training pairs undergo."""

_CELLS = 300
"""Cells of an image from which the refiner learns in a step."""


class Model(nn.Module):
    """All that is trained: the network with its heads, and the refiner. Its state is that of a weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.network = XFeatNetwork()
        self.refiner = Refiner()

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

    detector: prepared images (B, 1, H, W) → keypoint logits (B, 65, h, w), the target of the keypoint head where there
    is no teacher. teacher: its outputs on the images before the change of light are what the network learns to give
    after it.
    """

    detector: Callable[[Tensor], Tensor]
    teacher: XFeatNetwork | None = None


def draw_pairs(generator: Generator, photos: Sequence[Tensor], count: int, crop: tuple[int, int]) -> Pairs:
    """`count` random pairs of crops of (width, height)."""
    view = (crop[1], crop[0])
    return make_pairs(generator, cut_canvases(generator, photos, count, view), view, STRENGTH, LIGHT)


def compute_losses(
    generator: Generator, model: Model, guides: Guides, pairs: Pairs, config: TrainConfig
) -> dict[str, Tensor]:
    """Each loss of a batch by the name of its factor in `LossWeights`, not yet multiplied."""
    count = len(pairs.image0)
    features, logits, reliability = model.network(_prepared(pairs.image0, pairs.image1))
    features, logits, reliability = features.float(), logits.float(), reliability.float()
    features0, features1 = features[:count], features[count:]
    with torch.no_grad():
        clean = _prepared(pairs.clean0, pairs.clean1)
        taught = guides.teacher(clean) if guides.teacher is not None else None
        target = guides.detector(clean) if taught is None else taught[1]
    chosen = losses.choose_correspondences(generator, target[count:], pairs.to0, pairs.visible, config.points)
    descriptor, confidence = losses.descriptor_loss(features0, features1, chosen)
    cells = losses.match_cells(
        generator, pairs.to0, pairs.visible, (features.shape[2], features.shape[3]), _CELLS, CENTRE
    )
    localisation, repeatability = keypoint_losses.consistency_losses(
        logits[:count], logits[count:], pairs.to0, pairs.visible
    )
    found = {
        "descriptor": descriptor,
        "reliability": losses.reliability_loss(reliability[:count], reliability[count:], chosen, confidence),
        "keypoint": keypoint_losses.target_loss(logits, target),
        "localisation": localisation,
        "repeatability": repeatability,
        "refiner": losses.refiner_loss(model.refiner, features0, features1, cells, CENTRE),
    }
    if taught is not None:
        found["teacher"] = losses.teacher_descriptor_loss(features, taught[0].float())
        found["teacher_reliability"] = (reliability - taught[2].float()).abs().mean()
    return found


def total(found: dict[str, Tensor], config: TrainConfig) -> Tensor:
    """The losses times their factors, added."""
    factors = asdict(config.losses)
    return torch.stack([factors[name] * loss for name, loss in found.items()]).sum()


def _prepared(image0: Tensor, image1: Tensor) -> Tensor:
    return prepare(torch.cat([image0, image1])[:, 0])
