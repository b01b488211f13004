"""`train`: a training run from its first photograph to its weights file, resumable at any moment."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, multiprocessing

from xfeat_cli.config import ExtractConfig, Precision
from xfeat_cli.errors import TrainingError, UsageError
from xfeat_cli.evaluation.pose import PoseAccuracy
from xfeat_cli.evaluation.scene import Scene
from xfeat_cli.evaluation.warps import WarpAccuracy, evaluate_warps
from xfeat_cli.files import FileKind, check_output
from xfeat_cli.machine.devices import resolve_device
from xfeat_cli.machine.memory import keep_freed_memory
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.model import weights
from xfeat_cli.model.labels import CENTRE
from xfeat_cli.model.network import CELL, XFeatNetwork
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.store.lock import OutputLock
from xfeat_cli.training import checkpoint, parallel
from xfeat_cli.training.config import KeypointTarget, TrainConfig
from xfeat_cli.training.corners import corner_probabilities
from xfeat_cli.training.given_keypoints import KeypointLabels, read_keypoints
from xfeat_cli.training.history import History
from xfeat_cli.training.loop import Observer, StepReport, Trainer
from xfeat_cli.training.photos import Photos, load_kept, split_held_out
from xfeat_cli.training.precision import training_precision
from xfeat_cli.training.sources import Source, match_source, model_sources
from xfeat_cli.training.step import Guides
from xfeat_cli.training.symmetric import Bias, measured_bias, symmetric_probabilities
from xfeat_cli.training.tracks import Tracks, load_tracks
from xfeat_cli.version import __version__
from xfeat_cli.xfeat import XFeat

_BIAS_PHOTOS = 16
"""Photographs on which the bias of a head is measured."""

VALIDATION_PAIRS, VALIDATION_SEEDS = 24, 3
"""Pairs of views of held-out photographs; RANSAC runs on the scene."""


@dataclass(frozen=True)
class Trained:
    """steps, seconds: of the whole run, over all its resumptions. accuracy, pose: of the weights that were written; the
    latter on the scene, if one was given."""

    output: Path
    steps: int
    seconds: float
    accuracy: WarpAccuracy
    pose: PoseAccuracy | None


def train(
    images: Sequence[str | Path],
    output: str | Path,
    config: TrainConfig | None = None,
    *,
    overwrite: bool = False,
    observer: Observer | None = None,
    **options: Any,
) -> Trained:
    """Train weights on folders of photographs and write them to a .safetensors file.

    The folder `OUTPUT.training` beside the output holds the checkpoint, from which the same call goes on after an
    interruption, the history (CSV) and its curves (PNG).

    Args:
        images: folders of photographs.
        output: the weights file to write.
        config: how weights are trained.
        overwrite: start again; without it a run of other options or photographs is refused.
        observer: told of each step and each validation.
        **options: fields of `TrainConfig`, in place of those of `config`.

    Returns:
        The steps that were made, and the accuracy of the weights that were written.

    Raises:
        UsageError: the options cannot work together, or there are too few photographs.
        WeightsError: the weights to start from, or the teacher's, are missing or damaged.
        TrainingError: the run cannot go on.
    """
    config = replace(config or TrainConfig(), **options)
    output = Path(output)
    observer = observer or _Silent()
    device = resolve_device(config.device)
    processes = _processes(config, device)
    folder = _folder(output, config, overwrite)
    before = None if overwrite else _precision_before(folder)
    precision = training_precision(config.precision, device, config.crop, before)
    try:
        lock = OutputLock(output)
    except OSError as error:
        raise TrainingError(f"{output} cannot be written ({error.strerror or error})") from None
    with lock:
        return _train(images, output, folder, config, overwrite, observer, device, precision, processes)


def _train(
    images: Sequence[str | Path],
    output: Path,
    folder: Path,
    config: TrainConfig,
    overwrite: bool,
    observer: Observer,
    device: torch.device,
    precision: Precision,
    processes: int,
) -> Trained:
    """Return the run, once nobody else writes its output. An old checkpoint stays until all inputs have been read."""
    scene = Scene(Path(config.scene)) if config.scene is not None else None
    sources = _sources(config, observer.note)
    most_real = min(sum(len(source.files) for source in sources), round(config.max_photos * config.multi_view_share))
    folders = [Path(folder) for folder in images]
    kept = load_kept(folders, config.photo_size, config.max_photos - most_real, config.seed, observer.note)
    all_photos = {name: photo.pixels for name, photo in kept.items()}
    learned, held_out = split_held_out(all_photos, config.held_out, config.seed)
    photos = Photos([learned[name] for name in sorted(learned)])
    tracks = None
    if sources:
        never = {Path(name).resolve() for name in held_out}
        tracks = load_tracks(sources, config.photo_size, most_real, config.seed, never, observer.note)
    labels = None
    if isinstance(config.keypoint_target, Path):
        labels = read_keypoints(config.keypoint_target, folders, {name: kept[name] for name in learned}, observer.note)
    settings = _settings(config, photos, tracks, labels, precision, processes)
    if overwrite:
        (folder / checkpoint.FILE).unlink(missing_ok=True)
    saved = _resumable(folder, settings)
    observer.note(
        f"{len(learned)} photographs to learn from, {len(held_out)} to validate on; {device}, {precision.value}, "
        f"{processes} process{'es' if processes > 1 else ''}"
    )
    if tracks is not None:
        described = ", ".join(source.described for source in sources)
        observer.note(f"{len(tracks.photos)} photographs of {described} make {len(tracks)} real pairs")
        tracks = tracks.to(device)
    if labels is not None:
        labels = labels.to(device)
    photos = photos.to(device)
    bias = None
    if config.keypoint_target is KeypointTarget.SYMMETRIC:
        bias = _head_bias(config, list(photos)[:_BIAS_PHOTOS])
        observer.note(
            f"the head to learn from puts keypoints ({bias[0]:+.2f}, {bias[1]:+.2f}) px beside what it detects"
        )
    work = _Work(config, photos, tracks, labels, bias, device, precision, processes, saved)
    history = History(folder, saved["steps_done"] if saved else 0)
    if saved:
        observer.note(f"going on after step {saved['steps_done']}")

    def runtime_of(trainer: Trainer) -> Runtime:
        return Runtime(weights.in_memory(trainer.averaged, output, CENTRE.name), str(device), Precision.FP32)

    def validate(trainer: Trainer) -> tuple[WarpAccuracy, PoseAccuracy | None]:
        runtime = runtime_of(trainer)
        accuracy = evaluate_warps(runtime, [held_out[name] for name in sorted(held_out)], VALIDATION_PAIRS)
        pose = scene.measure(runtime, VALIDATION_SEEDS) if scene is not None else None
        history.validated(trainer.steps_done, accuracy, pose)
        observer.validated(trainer.steps_done, accuracy, pose)
        return accuracy, pose

    def keep(trainer: Trainer) -> None:
        checkpoint.save(folder, {"settings": settings, **trainer.state()})

    with _joined(work) as trainer:
        if not saved:
            validate(trainer)

        def after_step(report: StepReport) -> None:
            observer.step(report)
            history.stepped(report, trainer.elapsed)
            if report.step % config.checkpoint_every == 0:
                keep(trainer)
            if report.step % config.validate_every == 0 and trainer.progress < 1:
                validate(trainer)
                history.draw()

        trainer.run(after_step)
        keep(trainer)
    accuracy, pose = validate(trainer)
    history.draw()
    weights.save(output, trainer.averaged, _metadata(trainer, settings, accuracy))
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    return Trained(output, trainer.steps_done, trainer.elapsed, accuracy, pose)


def _sources(config: TrainConfig, note: Callable[[str], None]) -> list[Source]:
    """Return where real pairs come from."""
    count = len(config.multi_view) + (config.matches is not None)
    folders = config.multi_view_images * (count if len(config.multi_view_images) == 1 else 1)
    sources = [
        source
        for model, images in zip(config.multi_view, folders, strict=False)
        for source in model_sources(model, images)
    ]
    if config.matches is not None:
        features, matches = map(Path, config.matches)
        sources.append(match_source(features, matches, folders[-1], note))
    return sources


class _Silent:
    def note(self, text: str) -> None:
        pass

    def step(self, report: StepReport) -> None:
        pass

    def validated(self, step: int, accuracy: WarpAccuracy, pose: PoseAccuracy | None) -> None:
        pass


def _processes(config: TrainConfig, device: torch.device) -> int:
    if device.type != "cpu":
        return 1
    return config.processes or max(1, min(usable_cores(), config.batch // 2))


def _folder(output: Path, config: TrainConfig, overwrite: bool) -> Path:
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors; give the output such a name")
    folder = output.with_name(output.name + ".training")
    named = (weights.locate(name) for name in (config.init, *config.taught_by) if name is not None)
    check_output(output, FileKind.SAFETENSORS, named)
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; overwrite=True trains it anew, another output keeps it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror or error}") from None
    return folder


def _settings(
    config: TrainConfig,
    photos: Photos,
    tracks: Tracks | None,
    labels: KeypointLabels | None,
    precision: Precision,
    processes: int,
) -> str:
    """Return everything that decides the result, as JSON. How often it is saved and validated does not."""
    told = asdict(config)
    for name in ("validate_every", "checkpoint_every", "device", "scene", "multi_view", "matches", "multi_view_images"):
        del told[name]
    if tracks is None:
        del told["multi_view_share"]
    else:
        told |= {"multi_view_photos": len(tracks.photos), "multi_view_digest": tracks.digest()}
    if labels is not None:
        told |= {"keypoint_target": str(config.keypoint_target), "keypoints_digest": labels.digest()}
    told |= {"precision": precision.value, "processes": processes, "photos": len(photos), "digest": photos.digest()}
    told["learning_rate"] = config.peak_learning_rate
    told["teachers"] = list(config.taught_by)
    told["teachers_sha256"] = [weights.load(name).info.sha256 for name in config.taught_by]
    if config.init is not None:
        told["init_sha256"] = weights.load(config.init).info.sha256
    return json.dumps(told, sort_keys=True)


def _precision_before(folder: Path) -> str | None:
    """Return the precision of the folder's unfinished run."""
    settings = (checkpoint.load(folder) or {}).get("settings")
    return json.loads(settings).get("precision") if isinstance(settings, str) else None


def _resumable(folder: Path, settings: str) -> dict[str, Any] | None:
    saved = checkpoint.load(folder)
    if saved is not None and saved.get("settings") != settings:
        before, now = json.loads(str(saved.get("settings"))), json.loads(settings)
        different = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        raise UsageError(
            f"{folder} holds an unfinished run of other {', '.join(different)}; give the same to go on, "
            "or overwrite=True to start again"
        )
    return saved


def _metadata(trainer: Trainer, settings: str, accuracy: WarpAccuracy) -> dict[str, str]:
    return {
        "min_cossim": f"{accuracy.cosine:.2f}",
        "refiner_labels": CENTRE.name,
        "xfeat_version": __version__,
        "training": settings,
        "steps": str(trainer.steps_done),
        "seconds": f"{trainer.elapsed:.0f}",
    }


@dataclass(frozen=True)
class _Work:
    """What every process of a run needs."""

    config: TrainConfig
    photos: Photos
    tracks: Tracks | None
    labels: KeypointLabels | None
    bias: Bias | None
    device: torch.device
    precision: Precision
    processes: int
    saved: dict[str, Any] | None

    def trainer(self, rank: int) -> Trainer:
        keep_freed_memory()
        torch.manual_seed(self.config.seed)
        guides = _guides(self.config, self.bias, self.device)
        trainer = Trainer(
            self.config,
            guides,
            self.photos,
            self.device,
            self.precision,
            rank,
            self.processes,
            self.tracks,
            self.labels,
        )
        if self.saved is not None:
            trainer.restore(self.saved)
        elif self.config.init is not None:
            trainer.start_from(weights.load(self.config.init).state)
        return trainer


def _head_name(config: TrainConfig) -> str | None:
    """Return the weights whose keypoint head is learned from."""
    return config.taught_by[0] if config.taught_by else config.init


def _head_bias(config: TrainConfig, photographs: Sequence[Tensor]) -> Bias:
    name = _head_name(config)
    assert name is not None
    return measured_bias(XFeat(weights=name, device="cpu", precision=Precision.FP32), photographs)


def _guides(config: TrainConfig, bias: Bias | None, device: torch.device) -> Guides:
    name = _head_name(config)
    if name is None:
        return Guides(corner_probabilities)
    teachers = [_frozen(teacher, device) for teacher in config.taught_by]
    head = teachers[0] if teachers else _frozen(name, device)
    return Guides(_detector(head), teachers, None if bias is None else _symmetric(head, bias))


def _logits(network: XFeatNetwork) -> Callable[[Tensor], Tensor]:
    return lambda image: network.keypoint_head(F.pixel_unshuffle(image, CELL)).float()


def _detector(network: XFeatNetwork) -> Callable[[Tensor], Tensor]:
    logits = _logits(network)
    return lambda image: torch.softmax(logits(image), 1)


def _symmetric(network: XFeatNetwork, bias: Bias) -> Callable[[Tensor], Tensor]:
    return lambda image: symmetric_probabilities(_logits(network), image, ExtractConfig().grids, bias)


def _frozen(name: str, device: torch.device) -> XFeatNetwork:
    network = XFeatNetwork()
    network.load_state_dict(weights.load(name).state, strict=False)
    return network.to(device).eval().requires_grad_(False)


class _joined:
    """All processes of a run; inside, the first one's trainer. The others end with it."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._others: list[Any] = []

    def __enter__(self) -> Trainer:
        work = self._work
        if work.processes > 1:
            self._folder = tempfile.TemporaryDirectory(prefix="xfeat-train-")
            meeting_file = str(Path(self._folder.name, "meeting"))
            context = multiprocessing.get_context("spawn")
            for rank in range(1, work.processes):
                other = context.Process(target=_work, args=(work, rank, meeting_file), daemon=True)
                other.start()
                self._others.append(other)
            parallel.join(0, work.processes, meeting_file)
        return work.trainer(0)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if not self._others:
            return
        if error is not None:
            for other in self._others:
                other.terminate()
        for other in self._others:
            other.join()
        parallel.leave()
        self._folder.cleanup()
        if isinstance(error, RuntimeError) and any(other.exitcode for other in self._others):
            raise TrainingError(
                "one of the training processes ended early (out of memory?); run the command again to go on from the "
                "last checkpoint, with a smaller batch if it happens again"
            ) from None


def _work(work: _Work, rank: int, meeting_file: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parallel.join(rank, work.processes, meeting_file)
    work.trainer(rank).run(lambda report: None)
    parallel.leave()


def _end_with_parent() -> None:
    """However the first process ends, none of its helpers may go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
