"""Every default of `xfeat train` and its meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from xfeat_cli.config import Precision, convert, require, require_whole
from xfeat_cli.errors import UsageError


class Part(str, Enum):
    NETWORK = "network"
    KEYPOINTS = "keypoints"
    REFINER = "refiner"


class KeypointTarget(str, Enum):
    HEAD = "head"
    SYMMETRIC = "symmetric"


LEARNING_RATE, ADAPTING_LEARNING_RATE = 0.02, 0.003


@dataclass(frozen=True)
class LossWeights:
    """Factors of the losses.

    descriptor: dual-softmax negative log-likelihood of correspondences. teacher: one minus the cosine to the teacher's
    descriptors, where it is reliable. reliability: cross-entropy against the confidence of correspondences.
    teacher_reliability: L1 to the teacher's. keypoint: divergence from the keypoint target. localisation: distance in
    px between corresponding keypoints, one view also mirrored or turned by quarters. refiner: cross-entropy of the 64
    positions.
    """

    descriptor: float = 1.0
    teacher: float = 4.0
    reliability: float = 1.0
    teacher_reliability: float = 0.5
    keypoint: float = 1.0
    localisation: float = 0.1
    refiner: float = 0.3


MOST_SEED = (1 << 24) - 1
"""Seeds, processes and steps share the 64 bits of a generator's seed."""

_MOST = 1 << 31


@dataclass(frozen=True)
class TrainConfig:
    """How weights are trained.

    init: weights to start from, a name or a file; None = random. teachers: weights whose outputs the network learns
        beside the correspondences, the mean over all of them; None = those of init, so that adapting keeps what they
        know; without init none.
    keypoint_target: what the keypoint head learns: "head" = the probabilities of the first teacher's head, or of
        init's, or corners; "symmetric" = those without the head's bias, averaged over mirror images and quarter turns;
        a path = the keypoints of a features file of the training photographs, each as likely as its score ranks it.
    parts: what is trained: the network (descriptors and reliability), the keypoint head, the match refiner.
    steps: how many; minutes: instead of steps, stop at that time; the learning rate is annealed over either.
    batch: pairs of images a step, over all processes. crop: (width, height) px of the training images;
        late_crop: those of the last part, from late_from (share of the run) on, with half as many pairs.
    points: correspondences a pair.
    learning_rate: of Muon, for convolution and linear weights; biases and the refiner take a tenth of it, with Adam;
        None = 0.02, or 0.003 with init, whose accuracy 0.02 would first destroy.
    multi_view: COLMAP models, or folders of some; matches: a features and a matches file of any tool, whose matches are
        verified; multi_view_images: the folders of their photographs, one for all or one each, those of the models
        first. Real pairs, whose correspondences are the models' points and the matches, are multi_view_share of all
        pairs. Descriptors and reliability learn from them.
    ema: decay of the averaged weights, which are what is saved.
    held_out: photographs kept for validation. scene: folder of images/, cameras.json and pairs.txt, on which poses are
        validated too. validate_every, checkpoint_every: steps.
    max_photos: most photographs kept in memory; photo_size: longest side, px, at which they are kept.
    processes: on a CPU, each with one thread; None = one a processor. device: as for extraction. precision: auto = bf16
        where a step is measured to be faster in it than in fp32.
    seed: of everything random: two runs of the same options, processes and precision give the same weights on one
        machine.
    """

    init: str | None = None
    teachers: tuple[str, ...] | None = None
    keypoint_target: KeypointTarget | Path = KeypointTarget.HEAD
    parts: tuple[Part, ...] = tuple(Part)
    steps: int = 20_000
    minutes: float | None = None
    batch: int = 8
    crop: tuple[int, int] = (320, 256)
    late_crop: tuple[int, int] = (448, 320)
    late_from: float = 0.7
    points: int = 400
    learning_rate: float | None = None
    warm_up: float = 0.05
    clip: float = 1.0
    multi_view: tuple[Path, ...] = ()
    matches: tuple[Path, Path] | None = None
    multi_view_images: tuple[Path, ...] = ()
    multi_view_share: float = 0.25
    ema: float = 0.999
    held_out: int = 32
    scene: Path | None = None
    validate_every: int = 1000
    checkpoint_every: int = 250
    max_photos: int = 4000
    photo_size: int = 1200
    processes: int | None = None
    device: str = "auto"
    precision: Precision = Precision.AUTO
    seed: int = 0
    losses: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        convert(self, precision=Precision)
        object.__setattr__(self, "keypoint_target", _keypoint_target(self.keypoint_target))
        object.__setattr__(self, "parts", tuple(map(_part, self.parts)))
        multiple = 32
        for name, (width, height) in (("crop", self.crop), ("late_crop", self.late_crop)):
            if width % multiple or height % multiple or min(width, height) < 2 * multiple:
                raise UsageError(f"{name} is {width}x{height}; both sides must be multiples of {multiple}, from 64 on")
        if self.minutes is not None:
            require(0 < self.minutes <= _MOST, "minutes", self.minutes, f"more than 0, at most {_MOST}")
        for name in ("steps", "batch", "points", "validate_every", "checkpoint_every", "max_photos", "photo_size"):
            require_whole(name, getattr(self, name), 1, _MOST)
        require_whole("held_out", self.held_out, 0, _MOST)
        require_whole("seed", self.seed, 0, MOST_SEED)
        if self.processes is not None:
            require_whole("processes", self.processes, 1, 1024)
        if not self.parts:
            raise UsageError("no part to train: name network, keypoints or refiner")
        if self.keypoint_target is KeypointTarget.SYMMETRIC and not (self.init or self.teachers):
            raise UsageError(
                "keypoint_target symmetric is made from a head that knows keypoints: give init or teachers"
            )
        if Part.KEYPOINTS not in self.parts and not self.needs_pairs and not self.taught_by:
            raise UsageError("nothing to learn: no loss of pairs has a factor above 0, and there is no teacher")
        for name in ("multi_view", "multi_view_images"):
            given = getattr(self, name)
            object.__setattr__(self, name, tuple(map(Path, (given,) if isinstance(given, str | Path) else given)))
        sources = len(self.multi_view) + (self.matches is not None)
        if (sources == 0) != (self.multi_view_images == ()):
            raise UsageError(
                "multi_view and matches are of photographs, multi_view_images their folders: give both, or neither"
            )
        if len(self.multi_view_images) not in (0, 1, sources):
            raise UsageError(
                f"multi_view_images are {len(self.multi_view_images)} folders for {sources} models and matches; give "
                "one for all, or one each"
            )
        if sources and Part.NETWORK not in self.parts:
            raise UsageError(
                "multi_view and matches teach only descriptors and reliability: add the part network, or leave them out"
            )
        if not 0 < self.multi_view_share < 1:
            raise UsageError(f"multi_view_share is {self.multi_view_share}; it must be between 0 and 1")
        if not 0 < self.peak_learning_rate < 1:
            raise UsageError(f"learning_rate is {self.learning_rate}; it must be in (0, 1)")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema is {self.ema}; it must be in [0, 1)")

    @property
    def taught_by(self) -> tuple[str, ...]:
        """Return names or files of the teachers."""
        if self.teachers is not None:
            return self.teachers
        return () if self.init is None else (self.init,)

    @property
    def needs_pairs(self) -> bool:
        """Return whether a loss that counts learns from pairs; else single crops do."""
        learned = {
            Part.NETWORK: ("descriptor", "reliability"),
            Part.KEYPOINTS: ("localisation",),
            Part.REFINER: ("refiner",),
        }
        return any(getattr(self.losses, name) > 0 for part in self.parts for name in learned[part])

    @property
    def peak_learning_rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return LEARNING_RATE if self.init is None else ADAPTING_LEARNING_RATE


MIN_PHOTOS = 8
"""Fewer photographs than this, with those held out, cannot train anything."""


def _keypoint_target(target: str | Path) -> KeypointTarget | Path:
    names = [known.value for known in KeypointTarget]
    return KeypointTarget(target) if target in names else Path(target)


def _part(name: str | Part) -> Part:
    try:
        return Part(name)
    except ValueError:
        raise UsageError(f"parts: {name!r} is none; name {', '.join(part.value for part in Part)}") from None
