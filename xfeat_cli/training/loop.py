"""The loop of one training process: steps, learning rate, averaged weights, checkpoints, validation.

Everything random in a step comes from the run's seed, the step and the process, so a run that goes on from a checkpoint
repeats what the interrupted one would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from xfeat_cli.config import Precision
from xfeat_cli.errors import TrainingError
from xfeat_cli.evaluation.pose import PoseAccuracy
from xfeat_cli.evaluation.warps import WarpAccuracy
from xfeat_cli.training import parallel
from xfeat_cli.training.config import TrainConfig
from xfeat_cli.training.given_keypoints import KeypointLabels
from xfeat_cli.training.optimizer import optimizers
from xfeat_cli.training.step import Guides, Model, compute_losses, draw_batch, total
from xfeat_cli.training.tracks import Tracks

_EMA_WARM_UP = 10
_SMOOTHING = 0.95
_LEARNING_RATE_FLOOR = 0.01


@dataclass(frozen=True)
class StepReport:
    """step: done so far. progress: share of the run done. losses: smoothed, by name, with `total`. pairs_per_second:
    over all processes. making_pairs: share of the time that went into making pairs."""

    step: int
    progress: float
    learning_rate: float
    losses: dict[str, float]
    pairs_per_second: float
    making_pairs: float


class Observer(Protocol):
    """Told by the first process what happens."""

    def note(self, text: str) -> None: ...
    def step(self, report: StepReport) -> None: ...
    def validated(self, step: int, accuracy: WarpAccuracy, pose: PoseAccuracy | None) -> None: ...


class Trainer:
    """The state of one process of a run, and how it goes on."""

    def __init__(
        self,
        config: TrainConfig,
        guides: Guides,
        photos: Sequence[Tensor],
        device: torch.device,
        precision: Precision,
        rank: int = 0,
        processes: int = 1,
        tracks: Tracks | None = None,
        labels: KeypointLabels | None = None,
    ) -> None:
        self.config = config
        self.model = Model().to(device)
        self.averaged = {name: tensor.clone() for name, tensor in self.model.weights().items()}
        self.steps_done = 0
        self.elapsed = 0.0
        self._guides = guides
        self._photos = photos
        self._tracks = tracks
        self._labels = labels
        self._device = device
        self._precision = precision
        self._rank = rank
        self._processes = processes
        self._optimizers = optimizers(self.model.network, self.model.refiner, config.peak_learning_rate)
        self._smoothed: dict[str, float] = {}
        self._making = 0.0

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Start from the tensors of a weights file."""
        self.model.load_weights(state)
        self.averaged = {name: tensor.clone() for name, tensor in self.model.weights().items()}

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs; tensors are not copied."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "steps_done": self.steps_done,
            "elapsed": self.elapsed,
            "smoothed": self._smoothed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged = {name: tensor.to(self._device) for name, tensor in state["averaged"].items()}
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.steps_done, self.elapsed = state["steps_done"], state["elapsed"]
        self._smoothed = dict(state["smoothed"])

    @property
    def progress(self) -> float:
        """Return share of the run that is done, from 0 to 1."""
        if self.config.minutes is not None:
            return min(1.0, self.elapsed / (60 * self.config.minutes))
        return min(1.0, self.steps_done / self.config.steps)

    def run(self, after_step: Callable[[StepReport], None]) -> None:
        """Step until the run is done. Raises TrainingError when the loss is no number any more."""
        self.model.learn_only(self.config.parts)
        while self.progress < 1:
            started = time.monotonic()
            report = self._step()
            seconds = time.monotonic() - started
            (seconds,) = parallel.average_numbers([seconds])
            self.elapsed += seconds
            after_step(report(seconds))

    def _step(self) -> Callable[[float], StepReport]:
        config, started = self.config, time.monotonic()
        late = self.progress >= config.late_from
        count = max(1, config.batch // self._processes // (2 if late else 1))
        generator = torch.Generator(self._device)
        generator.manual_seed((config.seed << 40) + (self._rank << 32) + self.steps_done)
        crop = config.late_crop if late else config.crop
        batch = draw_batch(generator, self._photos, self._tracks, count, crop, config, self._labels)
        making = self._seconds_since(started)
        with self._autocast():
            found = compute_losses(generator, self.model, self._guides, batch, config)
            loss = total(found, config)
        loss.backward()  # type: ignore[no-untyped-call]
        parallel.average(self.model)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        values = parallel.average_numbers([float(loss.detach()), *(float(one.detach()) for one in found.values())])
        if not math.isfinite(values[0]) or not torch.isfinite(norm):
            raise TrainingError(
                f"the loss diverged at step {self.steps_done + 1}; the last checkpoint is kept: "
                f"start again with overwrite=True and a learning_rate smaller than {config.peak_learning_rate:g}"
            )
        rate = self._learning_rate()
        for optimizer, share in zip(self._optimizers, _shares(self._optimizers), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad()
        self.steps_done += 1
        self._average_weights()
        for name, value in zip(("total", *found), values, strict=True):
            self._smoothed[name] = (
                _SMOOTHING * self._smoothed[name] + (1 - _SMOOTHING) * value if name in self._smoothed else value
            )
        return lambda seconds: StepReport(
            self.steps_done,
            self.progress,
            rate,
            dict(self._smoothed),
            len(batch) * self._processes / seconds,
            making / seconds,
        )

    def _learning_rate(self) -> float:
        """Return linear warm-up, then a cosine to nearly nothing."""
        warm_up = min(1.0, (self.progress + 1e-3) / max(self.config.warm_up, 1e-3))
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
        return self.config.peak_learning_rate * warm_up * max(_LEARNING_RATE_FLOOR, cosine)

    @torch.no_grad()
    def _average_weights(self) -> None:
        decay = min(self.config.ema, (1 + self.steps_done) / (_EMA_WARM_UP + self.steps_done))
        for name, tensor in self.model.weights().items():
            if tensor.is_floating_point():
                self.averaged[name].lerp_(tensor, 1 - decay)
            else:
                self.averaged[name].copy_(tensor)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtypes = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}
        if self._precision not in dtypes:
            return nullcontext()
        return torch.autocast(self._device.type, dtypes[self._precision])

    def _seconds_since(self, started: float) -> float:
        if self._device.type == "cuda" and self.steps_done % 50 == 0:
            torch.cuda.synchronize()
        return time.monotonic() - started


def _shares(optimizers_: Sequence[Optimizer]) -> list[float]:
    """Return learning rates of the optimizers in units of the first's."""
    first = optimizers_[0].defaults["lr"]
    return [optimizer.defaults["lr"] / first for optimizer in optimizers_]
