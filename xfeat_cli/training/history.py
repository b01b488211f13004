"""The history of a run: losses and validations as CSV, and their curves as a PNG."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xfeat_cli.canvas import BLUE, PALE, as_png, blank, write
from xfeat_cli.errors import TrainingError
from xfeat_cli.evaluation.pose import VALIDATED_DEG, PoseAccuracy
from xfeat_cli.evaluation.warps import ACCURACIES_PX, WarpAccuracy
from xfeat_cli.files import FileKind, whole_file
from xfeat_cli.training.loop import StepReport

STEPS, VALIDATIONS, CURVES = "history.csv", "validation.csv", "curves.png"

_STEPS_A_ROW = 25
_PANEL, _MARGIN, _COLUMNS = (360, 220), 34, 3
_TEXT, _SMALL = 0.45, 0.35


class History:
    """Writes into a folder; rows after the step that a run goes on from are dropped."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        self._folder = folder
        for name in (STEPS, VALIDATIONS):
            rows = [row for row in _read(folder / name) if steps_done and int(row["step"]) <= steps_done]
            (folder / name).unlink(missing_ok=True)
            for row in rows:
                self._append(name, row)

    def stepped(self, report: StepReport, seconds: float) -> None:
        if report.step % _STEPS_A_ROW:
            return
        rates = {
            "seconds": seconds,
            "learning_rate": report.learning_rate,
            "pairs_per_second": report.pairs_per_second,
            "making_pairs": report.making_pairs,
        }
        self._append(STEPS, {"step": report.step, **rates, **report.losses})

    def validated(self, step: int, accuracy: WarpAccuracy, pose: PoseAccuracy | None) -> None:
        row = {"step": step, **asdict(accuracy)}
        row |= {f"accuracy_{bound:g}px": value for bound, value in zip(ACCURACIES_PX, row.pop("accuracy"), strict=True)}
        row["refined_shift_x_px"], row["refined_shift_y_px"] = row.pop("refined_shift_px") or (None, None)
        row |= {f"pose_auc_{bound:g}deg": None if pose is None else pose.auc_at(bound) for bound in VALIDATED_DEG}
        self._append(VALIDATIONS, {name: "" if value is None else value for name, value in row.items()})

    def draw(self) -> None:
        """Draw all curves, a panel each: the losses, then what was validated."""
        panels = []
        for name in (STEPS, VALIDATIONS):
            rows = _read(self._folder / name)
            columns = [c for c in (rows[0] if rows else {}) if c not in ("step", "seconds", "pairs")]
            for column in columns:
                points = np.array([(row["step"], row[column]) for row in rows if row[column] != ""], float)
                points = points.reshape(-1, 2)
                points = points[np.isfinite(points).all(1)]
                if len(points) > 1:
                    panels.append(_panel(column, points))
        if not panels:
            return
        panels += [blank(*_PANEL)] * (-len(panels) % _COLUMNS)
        sheet = np.vstack([np.hstack(panels[i : i + _COLUMNS]) for i in range(0, len(panels), _COLUMNS)])
        self._write(CURVES, as_png(sheet))

    def _append(self, name: str, row: dict[str, Any]) -> None:
        path = self._folder / name
        try:
            new = not path.exists()
            with open(path, "a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row))
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise _unwritable(path, error) from None

    def _write(self, name: str, data: bytes) -> None:
        try:
            with whole_file(self._folder / name, FileKind.PNG) as file:
                file.write(data)
        except OSError as error:
            raise _unwritable(self._folder / name, error) from None


def _unwritable(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"{path} cannot be written ({error.strerror or error}); the last checkpoint is kept: make room and run the "
        "command again"
    )


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _panel(title: str, points: np.ndarray) -> np.ndarray:
    width, height = _PANEL
    image = blank(width, height)
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 1e-12)
    room = np.array([width - 2 * _MARGIN, height - 2 * _MARGIN])
    at = (points - low) / span * room * [1, -1] + [_MARGIN, height - _MARGIN]
    cv2.rectangle(image, (_MARGIN, _MARGIN), (width - _MARGIN, height - _MARGIN), PALE, 1)
    cv2.polylines(image, [np.rint(at).astype(np.int32)], False, BLUE, 1, cv2.LINE_AA)
    write(image, title, 8, 18, _TEXT)
    write(image, f"{points[-1, 1]:.4g}", width - 90, 18, _TEXT)
    write(image, f"{high[1]:.3g}", 2, _MARGIN + 12, _SMALL)
    write(image, f"{low[1]:.3g}", 2, height - _MARGIN, _SMALL)
    write(image, f"step {high[0]:.0f}", width - 110, height - 12, _SMALL)
    return image
