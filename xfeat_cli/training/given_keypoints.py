"""Keypoints that a tool found on the training photographs, as the target of the keypoint head."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from xfeat_cli.coordinates import rescale
from xfeat_cli.errors import UsageError
from xfeat_cli.store.reader import KeypointsReader
from xfeat_cli.synthesis.geometry import uniform
from xfeat_cli.synthesis.light import Light, change
from xfeat_cli.training.keypoint_maps import cell_probabilities, spread
from xfeat_cli.training.photos import Kept, Photos, resampled, scale_range
from xfeat_cli.training.turns import TURNS, turned

_AREA_PX = 110
"""Pixels a keypoint: where a part of a photograph is reduced, its best ones so far apart stay."""


@dataclass(frozen=True)
class GivenKeypoints:
    """points: (N, 2) x, y of a photograph's keypoints, its pixels as it is kept. masses: (N,) how likely a keypoint is
    one, in (0, 1)."""

    points: Tensor
    masses: Tensor


@dataclass(frozen=True)
class KeypointLabels:
    """Photographs (h, w) uint8 with the keypoints of each."""

    photos: Photos
    keypoints: Sequence[GivenKeypoints]

    def to(self, device: torch.device) -> KeypointLabels:
        """Return the same, with the photographs held by a device; on a CPU where other processes see them."""
        return KeypointLabels(self.photos.to(device), self.keypoints)

    def digest(self) -> str:
        """Return BLAKE2b of all pixels and keypoints."""
        everything = hashlib.blake2b(self.photos.digest().encode(), digest_size=16)
        for given in self.keypoints:
            everything.update(torch.cat([given.points, given.masses[:, None]], 1).numpy().tobytes())
        return everything.hexdigest()


@dataclass(frozen=True)
class LabelledCrops:
    """image: (B, 1, H, W) in [0, 1], after a change of light. target: (B, 65, H/8, W/8) probabilities."""

    image: Tensor
    target: Tensor


def read_keypoints(
    features: Path, folders: Sequence[Path], photos: Mapping[str, Kept], report: Callable[[str], None]
) -> KeypointLabels:
    """Return the photographs whose keypoints a features file holds, FOLDER/NAME in memory and NAME there.

    Those that the file does not hold, or holds at another size, are left out and reported. Raises StoreError, and
    UsageError if none is left.
    """
    given: dict[str, GivenKeypoints] = {}
    other_size = 0
    with KeypointsReader(features) as reader:
        names = {str(folder / name): name for folder in folders for name in reader.names()}
        for photo, kept in photos.items():
            if photo not in names:
                continue
            entry = reader.load(names[photo])
            if entry.image_size not in ((0, 0), kept.size):
                other_size += 1
            elif len(entry.keypoints):
                size = torch.tensor(kept.pixels.shape[::-1]) / torch.tensor(kept.shown)
                points = rescale(torch.from_numpy(entry.keypoints), size)
                given[photo] = GivenKeypoints(points, masses_of(torch.from_numpy(entry.scores)))
    if len(given) < len(photos):
        report(
            f"{len(photos) - len(given)} of {len(photos)} photographs do not teach keypoints: {features} does not hold "
            f"them{f', or {other_size} of them at another size' if other_size else ''}"
        )
    if not given:
        raise UsageError(f"{features} holds keypoints of none of the photographs; extract the same folders with it")
    names_given = sorted(given)
    return KeypointLabels(Photos([photos[name].pixels for name in names_given]), [given[name] for name in names_given])


def masses_of(scores: Tensor) -> Tensor:
    """Return how likely keypoints (N,) are, by their scores: a half at the median, and always in their order."""
    return 1 - 0.5 ** (scores.clamp_min(0) / scores.median().clamp_min(1e-12))


def draw_labelled(
    generator: Generator, labels: KeypointLabels, count: int, view: tuple[int, int], light: Light
) -> LabelledCrops:
    """Return `count` random parts of photographs (h, w) uint8, turned at random, of (height, width), with their
    keypoints.
    """
    crops = [_draw(generator, labels, view) for _ in range(count)]
    clean, maps = (torch.stack(parts) for parts in zip(*crops, strict=True))
    return LabelledCrops(change(generator, clean[:, None], light), cell_probabilities(maps))


def _draw(generator: Generator, labels: KeypointLabels, view: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a part of a photograph (H, W), and the map of its keypoints (H, W)."""
    device = generator.device
    number = int(torch.randint(len(labels.photos), (1,), generator=generator, device=device))
    turn = int(torch.randint(len(TURNS), (1,), generator=generator, device=device))
    zoom, down, right = uniform(generator, 3, low=0.0, high=1.0).tolist()
    photo, size = labels.photos[number], view if turn % 2 == 0 else view[::-1]
    least, largest = scale_range((photo.shape[0], photo.shape[1]), size)
    scale = least * (largest / least) ** zoom
    rows, columns = (min(side, max(1, round(scale * c))) for side, c in zip(photo.shape, size, strict=True))
    top, left = round(down * (photo.shape[0] - rows)), round(right * (photo.shape[1] - columns))
    crop = resampled(photo[top : top + rows, left : left + columns], size)
    stretch = torch.tensor([size[1] / columns, size[0] / rows])
    points = rescale(labels.keypoints[number].points - torch.tensor([left, top]), stretch)
    inside = ((points > -1) & (points < torch.tensor(size[::-1]))).all(1)
    points, masses = points[inside], labels.keypoints[number].masses[inside]
    best = masses.topk(min(len(masses), size[0] * size[1] // _AREA_PX)).indices
    image = torch.zeros(len(best), dtype=torch.long)
    keypoints = spread(image, points[best], masses[best], (1, *size))[0].to(device)
    return turned(crop, turn), turned(keypoints, turn)
