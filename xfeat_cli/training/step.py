"""One training step on one process: make pairs, run the network, add up the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

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
from xfeat_cli.synthesis.pairs import Crops, Pairs, make_crops, make_pairs
from xfeat_cli.training import keypoint_losses, losses
from xfeat_cli.training.config import Part, TrainConfig
from xfeat_cli.training.given_keypoints import KeypointLabels, LabelledCrops, draw_labelled
from xfeat_cli.training.photos import cut_canvases
from xfeat_cli.training.real_pairs import RealPairs, draw_real_pairs
from xfeat_cli.training.tracks import Tracks
from xfeat_cli.training.turns import TURNS, turned, turned_back

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
        """Return the modules of each part."""
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
        """Return the tensors of a weights file, by name; not copies."""
        return self.network.state_dict() | self.refiner.state_dict()

    def load_weights(self, state: dict[str, Tensor]) -> None:
        """Start from the tensors of a weights file; one without a refiner leaves the refiner as it is."""
        self.network.load_state_dict(state, strict=False)
        self.refiner.load_state_dict(state, strict=False)


@dataclass(frozen=True)
class Guides:
    """What the network is taught by beside the correspondences.

    detector: prepared images (B, 1, H, W) → probabilities (B, 65, h, w) of keypoints, near which correspondences are
    learned. keypoint_target: the same for the keypoint head, which sees the same images: a target from clean ones would
    be learned as a blur; None = the detector. teachers: networks whose descriptors and reliability on images before the
    change of light are what the network learns to give after it, of all of them alike.
    """

    detector: Callable[[Tensor], Tensor]
    teachers: Sequence[XFeatNetwork] = ()
    keypoint_target: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Batch:
    """What a step learns from: synthetic pairs, and real ones if there is a model of a scene; or crops alone, where no
    loss needs pairs; and crops with the keypoints that the head is to learn, if they are given.

    Only descriptors and reliability learn from real pairs: their points are known to about a pixel and anywhere in
    their cells, while the refiner learns the sub-pixel place of cell centres, and keypoints theirs.
    """

    pairs: Pairs | None = None
    real: RealPairs | None = None
    crops: Crops | None = None
    labelled: LabelledCrops | None = None

    def __len__(self) -> int:
        """Return how many pairs; two crops count as one."""
        both = sum(len(pairs.image0) for pairs in (self.pairs, self.real) if pairs is not None)
        return both + (0 if self.crops is None else len(self.crops.image) // 2)

    def images(self) -> Tensor:
        """Return all images (B, 1, H, W), those of synthetic pairs first: images 0, then images 1."""
        return self._all("image")

    def clean(self) -> Tensor:
        """Return all images before the change of light, in the same order."""
        return self._all("clean")

    def _all(self, name: str) -> Tensor:
        if self.crops is not None:
            return getattr(self.crops, name)
        sources = [pairs for pairs in (self.pairs, self.real) if pairs is not None]
        return torch.cat([getattr(source, f"{name}{side}") for side in (0, 1) for source in sources])


def draw_batch(
    generator: Generator,
    photos: Sequence[Tensor],
    tracks: Tracks | None,
    count: int,
    crop: tuple[int, int],
    config: TrainConfig,
    labels: KeypointLabels | None = None,
) -> Batch:
    """Return about `count` random pairs of crops of (width, height); with `tracks`, config's share of them real, and at
    least one synthetic. If no loss needs pairs, twice as many crops. With `labels`, twice as many labelled crops
    beside.
    """
    batch = _draw_unlabelled(generator, photos, tracks, count, crop, config)
    if labels is None or Part.KEYPOINTS not in config.parts:
        return batch
    return replace(batch, labelled=draw_labelled(generator, labels, 2 * count, (crop[1], crop[0]), LIGHT))


def _draw_unlabelled(
    generator: Generator,
    photos: Sequence[Tensor],
    tracks: Tracks | None,
    count: int,
    crop: tuple[int, int],
    config: TrainConfig,
) -> Batch:
    view = (crop[1], crop[0])
    if not config.needs_pairs and tracks is None:
        return Batch(
            crops=make_crops(generator, cut_canvases(generator, photos, 2 * count, view), view, STRENGTH, LIGHT)
        )
    real = 0
    if tracks is not None:
        real = int(
            config.multi_view_share * count + float(torch.rand((), generator=generator, device=generator.device))
        )
    canvases = cut_canvases(generator, photos, max(1, count - real), view)
    pairs = make_pairs(generator, canvases, view, STRENGTH, LIGHT)
    if tracks is None or real == 0:
        return Batch(pairs)
    return Batch(pairs, draw_real_pairs(generator, tracks, real, view, config.points, LIGHT))


def compute_losses(
    generator: Generator, model: Model, guides: Guides, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    """Return each loss of a batch by the name of its factor in `LossWeights`, not yet multiplied."""
    computed: dict[str, Tensor] = {}
    if Part.KEYPOINTS in config.parts:
        computed |= _keypoint_losses(generator, model, guides, batch)
    if Part.NETWORK in config.parts:
        features = model.network.describe(_prepared(batch.images())).float()
        computed |= _network_losses(generator, model, guides, features, batch, config)
    if Part.REFINER in config.parts and batch.pairs is not None:
        if Part.NETWORK not in config.parts:
            with torch.no_grad():
                features = model.network.describe(_prepared(batch.images())).float()
        computed["refiner"] = _refiner_loss(generator, model, features, batch.pairs)
    return computed


def _keypoint_losses(generator: Generator, model: Model, guides: Guides, batch: Batch) -> dict[str, Tensor]:
    def keypoint_logits(image: Tensor) -> Tensor:
        return model.network.keypoint_head(F.pixel_unshuffle(image, CELL)).float()

    def heat(image: Tensor, first: Tensor) -> Tensor:
        return heatmap.averaged(heatmap.from_logits(first), keypoint_logits, image, ExtractConfig().grids)

    pairs = batch.pairs
    images = _prepared(batch.images() if pairs is None else torch.cat([pairs.image0, pairs.image1]))
    logits = keypoint_logits(images)
    if batch.labelled is not None:
        labelled_logits = keypoint_logits(_prepared(batch.labelled.image))
        computed = {"keypoint": keypoint_losses.target_loss(labelled_logits, batch.labelled.target)}
    else:
        with torch.no_grad():
            target = (guides.keypoint_target or guides.detector)(images)
        computed = {"keypoint": keypoint_losses.target_loss(logits, target)}
    if pairs is not None:
        turn = int(torch.randint(len(TURNS), (1,), generator=generator, device=generator.device))
        image0, image1 = _halves(images)
        turned1 = turned(image1, turn).contiguous()
        heat0, heat1 = heat(image0, _halves(logits)[0]), turned_back(heat(turned1, keypoint_logits(turned1)), turn)
        computed["localisation"] = keypoint_losses.localisation_loss(heat0, heat1, pairs.to0, pairs.visible)
    return computed


def _network_losses(
    generator: Generator, model: Model, guides: Guides, features: Tensor, batch: Batch, config: TrainConfig
) -> dict[str, Tensor]:
    reliability = model.network.heatmap_head(features).float()
    computed: dict[str, Tensor] = {}
    if batch.pairs is not None:
        pairs = batch.pairs
        with torch.no_grad():
            target1 = guides.detector(_prepared(pairs.image1))
        chosen = losses.choose_correspondences(generator, target1, pairs.to0, pairs.visible, config.points)
        if batch.real is not None:
            chosen = losses.joined(chosen, batch.real.chosen)
        computed["descriptor"], confidence = losses.descriptor_loss(*_halves(features), chosen)
        computed["reliability"] = losses.reliability_loss(*_halves(reliability), chosen, confidence)
    if guides.teachers:
        computed |= _teacher_losses(guides.teachers, _prepared(batch.clean()), features, reliability)
    return computed


def _teacher_losses(
    teachers: Sequence[XFeatNetwork], clean: Tensor, features: Tensor, reliability: Tensor
) -> dict[str, Tensor]:
    """Return the mean over the teachers."""
    descriptor, agreement = [], []
    for teacher in teachers:
        with torch.no_grad():
            taught = teacher.describe(clean).float()
            taught_reliability = teacher.heatmap_head(taught).float()
        descriptor.append(losses.teacher_descriptor_loss(features, taught, taught_reliability))
        agreement.append((reliability - taught_reliability).abs().mean())
    return {"teacher": torch.stack(descriptor).mean(), "teacher_reliability": torch.stack(agreement).mean()}


def _refiner_loss(generator: Generator, model: Model, features: Tensor, pairs: Pairs) -> Tensor:
    size = (features.shape[2], features.shape[3])
    cells = losses.match_cells(generator, pairs.to0, pairs.visible, size, _CELLS, CENTRE)
    features0, features1 = _halves(features)  # of real pairs too, behind those that the cells are of
    return losses.refiner_loss(model.refiner, features0, features1, cells, CENTRE)


def _halves(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return what belongs to images 0 and what to images 1."""
    one, two = batch.chunk(2)
    return one, two


def total(computed: dict[str, Tensor], config: TrainConfig) -> Tensor:
    """Return the losses times their factors, added."""
    factors = asdict(config.losses)
    return torch.stack([factors[name] * loss for name, loss in computed.items()]).sum()


def _prepared(images: Tensor) -> Tensor:
    return prepare(images[:, 0])
