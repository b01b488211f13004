"""`xfeat train`: photographs → weights."""

from __future__ import annotations

import re
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xfeat_cli.cli.options import DeviceOption, QuietOption
from xfeat_cli.cli.terminal.interrupts import advising
from xfeat_cli.config import Precision
from xfeat_cli.errors import UsageError, one_line
from xfeat_cli.training.config import (
    ADAPTING_LEARNING_RATE,
    LEARNING_RATE,
    KeypointTarget,
    LossWeights,
    Part,
    TrainConfig,
)

if TYPE_CHECKING:
    from xfeat_cli.evaluation.pose import PoseAccuracy
    from xfeat_cli.evaluation.warps import WarpAccuracy
    from xfeat_cli.training.loop import StepReport

_DEFAULT = TrainConfig()
_PLAIN_LINE_SECONDS = 20.0


def train(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES...", help="Folders of photographs; no labels needed.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Weights file to write, .safetensors.")],
    init: Annotated[
        str | None, typer.Option("--init", metavar="NAME|PATH", help="Weights to adapt; without, from scratch.")
    ] = _DEFAULT.init,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            metavar="NAME|PATH",
            show_default="the weights of --init",
            help="Weights whose outputs are learned too; repeat it for several, none for none.",
        ),
    ] = None,
    keypoint_target: Annotated[
        str,
        typer.Option(
            "--keypoint-target",
            metavar="head|symmetric|FEATURES",
            help="What the keypoint head learns: what the teacher's head gives; that averaged over mirror images and "
            "quarter turns; or the keypoints of a features file.",
        ),
    ] = KeypointTarget.HEAD.value,
    multi_view: Annotated[
        list[Path] | None,
        typer.Option(
            "--multi-view",
            metavar="MODEL",
            show_default=False,
            help="COLMAP model, or a folder of some: their points are learned as matches; repeat it for several.",
        ),
    ] = None,
    matches: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--matches",
            metavar="FEATURES MATCHES",
            show_default=False,
            help="Files of any tool in hloc's layout: matches that agree on a fundamental matrix are learned.",
        ),
    ] = None,
    multi_view_images: Annotated[
        list[Path] | None,
        typer.Option(
            "--images",
            metavar="DIR",
            show_default=False,
            help="The photographs of --multi-view and --matches: one folder for all, or repeated, one each.",
        ),
    ] = None,
    multi_view_share: Annotated[
        float, typer.Option("--multi-view-share", metavar="SHARE", help="Share of pairs that are such real ones.")
    ] = _DEFAULT.multi_view_share,
    parts: Annotated[
        list[Part] | None,
        typer.Option("--part", show_default="all", help="Train only this part; repeat it for several."),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option("--loss", metavar="NAME=FACTOR", help="Weigh a loss otherwise; repeat it for several."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the run.")] = _DEFAULT.steps,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Stop at this time instead of after --steps.")
    ] = _DEFAULT.minutes,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pairs of images a step.")] = _DEFAULT.batch,
    crop: Annotated[str, typer.Option("--crop", metavar="WxH", help="Size of the training images, px.")] = (
        f"{_DEFAULT.crop[0]}x{_DEFAULT.crop[1]}"
    ),
    late_crop: Annotated[
        str, typer.Option("--late-crop", metavar="WxH", help="Their size in the last part, with half the pairs.")
    ] = f"{_DEFAULT.late_crop[0]}x{_DEFAULT.late_crop[1]}",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            show_default=f"{LEARNING_RATE:g}; {ADAPTING_LEARNING_RATE:g} with --init",
            help="Of Muon, annealed to nearly 0.",
        ),
    ] = _DEFAULT.learning_rate,
    ema: Annotated[
        float, typer.Option("--ema", help="Decay of the averaged weights, which are what is saved.")
    ] = _DEFAULT.ema,
    held_out: Annotated[
        int, typer.Option("--held-out", min=1, help="Photographs kept for validation, at most a fifth.")
    ] = _DEFAULT.held_out,
    scene: Annotated[
        Path | None,
        typer.Option("--scene", metavar="DIR", help="images/, cameras.json, pairs.txt: validate poses on it too."),
    ] = _DEFAULT.scene,
    max_photos: Annotated[
        int, typer.Option("--max-photos", min=8, help="Most photographs held in memory.")
    ] = _DEFAULT.max_photos,
    validate_every: Annotated[
        int, typer.Option("--validate-every", min=1, metavar="STEPS", help="How often to measure.")
    ] = _DEFAULT.validate_every,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, metavar="STEPS", help="How often to save the state.")
    ] = _DEFAULT.checkpoint_every,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, show_default="one a processor; 1 on a GPU", help="On a CPU."),
    ] = _DEFAULT.processes,
    device: DeviceOption = _DEFAULT.device,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="fp32 or bf16; auto = bf16 on CUDA, and on a CPU where a step in it is measured to be faster.",
        ),
    ] = _DEFAULT.precision,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything random.")] = _DEFAULT.seed,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again, instead of going on from the checkpoint.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Train weights on photographs, from scratch or from other weights.

    Pairs with exactly known correspondence are made from single photographs: homographies, parallax, occlusion, change
    of light. With --multi-view some are photographs of a scene, whose correspondences are the points of its COLMAP
    model. All parts are trained together: descriptors, match refiner, reliability, keypoints. A run that was
    interrupted goes on from its checkpoint in OUT.training, where its history and curves are too.

    Examples:

      xfeat train photos/ --init default --teacher default --steps 2000 --out mine.safetensors

      xfeat train photos/ --init default --multi-view out/sparse/0 --images scene/ --out mine.safetensors

      xfeat extract images/ out.h5 --weights mine.safetensors
    """
    from xfeat_cli.training.run import train as run

    console = TrainConsole(quiet)
    advice = f"the same command goes on from the last checkpoint of {one_line(str(out))}"
    with advising(advice), closing(console):
        result = run(
            images,
            out,
            overwrite=overwrite,
            observer=console,
            init=init,
            teachers=_teachers(teacher),
            keypoint_target=keypoint_target,
            multi_view=tuple(multi_view or ()),
            matches=matches,
            multi_view_images=tuple(multi_view_images or ()),
            multi_view_share=multi_view_share,
            parts=tuple(parts) if parts else _DEFAULT.parts,
            losses=_losses(loss or []),
            steps=steps,
            minutes=minutes,
            batch=batch,
            crop=_size("--crop", crop),
            late_crop=_size("--late-crop", late_crop),
            learning_rate=learning_rate,
            ema=ema,
            held_out=held_out,
            scene=scene,
            max_photos=max_photos,
            validate_every=validate_every,
            checkpoint_every=checkpoint_every,
            processes=processes,
            device=device,
            precision=precision,
            seed=seed,
        )
    typer.echo(f"{result.output}: {result.steps} steps in {result.seconds / 60:.1f} minutes", err=True)


class TrainConsole:
    """Shows a run on stderr: notes, a bar or a line now and then, a row for each validation."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._started = self._last_line = time.monotonic()
        self._first_progress: float | None = None
        self._bar: Any = None

    def note(self, text: str) -> None:
        if not self._quiet:
            self._line(text)

    def step(self, report: StepReport) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        if self._first_progress is None:
            self._started, self._first_progress = now, report.progress
        if sys.stderr.isatty():
            self._update_bar(report)
        elif now - self._last_line > _PLAIN_LINE_SECONDS and report.progress > self._first_progress:
            self._last_line = now
            gained = report.progress - self._first_progress
            left = (now - self._started) / gained * (1 - report.progress)
            self._line(f"step {report.step}, {100 * report.progress:.1f} %, {left / 60:.1f} min left, {_state(report)}")

    def validated(self, step: int, accuracy: WarpAccuracy, pose: PoseAccuracy | None) -> None:
        if self._quiet:
            return
        self._line(f"step {step}, validation: {describe(accuracy)}{_describe_pose(pose)}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _update_bar(self, report: StepReport) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=100, unit="%", dynamic_ncols=True, leave=False, file=sys.stderr)
        self._bar.n = round(100 * report.progress, 1)
        self._bar.set_postfix_str(f"step {report.step}, {_state(report)}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            typer.echo(text, err=True)


def describe(accuracy: WarpAccuracy) -> str:
    """Return one line of what a validation measured."""
    within = " / ".join(f"{share:.1f}" for share in accuracy.accuracy)
    line = (
        f"{within} % of matches within 1 / 3 / 5 px, repeatability {accuracy.repeatability:.1f} %, "
        f"localisation {accuracy.localisation_px:.2f} px, cosine {accuracy.cosine:.2f}"
    )
    if accuracy.refined_px is not None and accuracy.refined_shift_px is not None:
        x, y = accuracy.refined_shift_px
        line += (
            f", semi-dense {accuracy.refined_px:.2f} px ({accuracy.refined_kept:.0f} % kept, "
            f"shift {x:+.2f} {y:+.2f} px)"
        )
    return line


def _describe_pose(pose: PoseAccuracy | None) -> str:
    if pose is None:
        return ""
    from xfeat_cli.evaluation.pose import VALIDATED_DEG

    bounds = " / ".join(f"{bound:g}" for bound in VALIDATED_DEG)
    areas = " / ".join(f"{pose.auc_at(bound):.1f}" for bound in VALIDATED_DEG)
    return f", pose AUC {areas} % at {bounds} degrees"


def _state(report: StepReport) -> str:
    found = report.losses
    parts = ", ".join(f"{name} {found[name]:.3f}" for name in found)
    return f"{report.pairs_per_second:.1f} pairs/s ({100 * report.making_pairs:.0f} % making them), {parts}"


def _teachers(names: list[str] | None) -> tuple[str, ...] | None:
    if names is None or names == []:
        return None
    if "none" in names and len(names) > 1:
        raise UsageError("--teacher none: there are other --teacher beside it; give either")
    return () if names == ["none"] else tuple(names)


def _losses(changes: list[str]) -> LossWeights:
    factors = asdict(_DEFAULT.losses)
    for change in changes:
        name, _, factor = change.partition("=")
        try:
            changed = float(factor)
        except ValueError:
            changed = -1
        if name not in factors or not 0 <= changed < 1e6:
            raise UsageError(f"--loss {change}: write NAME=FACTOR, with a name of {', '.join(factors)}")
        factors[name] = changed
    return LossWeights(**factors)


def _size(option: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise UsageError(f"{option} {text}: write WIDTHxHEIGHT, like 320x256")
    return int(match[1]), int(match[2])
