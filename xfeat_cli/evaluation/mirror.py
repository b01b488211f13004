"""Measure how far keypoints move when a photograph is mirrored, turned or shifted: a check of the weights' own
coordinates.

A change here moves whole pixels, so the photograph's content stays exactly what it was, and keypoints found on the
changed photograph can be brought back without any error. A detector whose coordinates mean what they say finds them
where they were. One that puts every keypoint b = (x, y) px beside what it detects finds them at −2·x px along the width
after mirroring left-right, and at −2·y px along the height after mirroring top-bottom. Between upright photographs of
one scale such a bias cancels, and no other figure shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xfeat_cli.config import Mode
from xfeat_cli.evaluation.distances import mutually_nearest
from xfeat_cli.types import Features, FloatArray, PointMatches
from xfeat_cli.xfeat import XFeat

REACH_PX = 6.0
"""Keypoints of the two photographs belong together if they are each other's nearest and at most this far apart, once
the movement that most of them share is taken off."""

_ROUNDS, _SETTLED_PX = 20, 0.005

Size = tuple[int, int]
"""(width, height) of the unchanged photograph, px."""


@dataclass(frozen=True)
class Change:
    """pixels: a photograph (H, W) → the changed one. back: points (N, 2) of the changed one and the size of the
    unchanged one → where those points were."""

    pixels: Callable[[FloatArray], FloatArray]
    back: Callable[[FloatArray, Size], FloatArray]


def _shifted(right: int, down: int) -> Change:
    """Return the photograph without its first columns and rows."""
    return Change(lambda gray: gray[down:, right:], lambda points, size: points + np.array([right, down], np.float32))


LEFT_RIGHT, TOP_BOTTOM = "mirrored left-right", "mirrored top-bottom"

SHIFTS = {f"shifted by ({x}, {y})": (x, y) for x, y in ((1, 0), (0, 1), (3, 5))}

CHANGES: dict[str, Change] = {
    LEFT_RIGHT: Change(lambda gray: gray[:, ::-1], lambda points, size: _mirrored(points, size[0], None)),
    TOP_BOTTOM: Change(lambda gray: gray[::-1], lambda points, size: _mirrored(points, None, size[1])),
    "turned 90°": Change(
        lambda gray: np.rot90(gray, 1), lambda points, size: _mirrored(points[:, ::-1], size[0], None)
    ),
    "turned 180°": Change(lambda gray: np.rot90(gray, 2), lambda points, size: _mirrored(points, *size)),
    "turned 270°": Change(
        lambda gray: np.rot90(gray, 3), lambda points, size: _mirrored(points[:, ::-1], None, size[1])
    ),
    **{name: _shifted(*shift) for name, shift in SHIFTS.items()},
}
"""Turns are counter-clockwise, as one sees the photograph."""


def _mirrored(points: FloatArray, width: int | None, height: int | None) -> FloatArray:
    x, y = points.T
    return np.stack([x if width is None else width - 1 - x, y if height is None else height - 1 - y], 1)


@dataclass(frozen=True)
class Movement:
    """How far keypoints, or refined matches, that have a counterpart lie from it, in px of the unchanged photograph.

    shift_px: median movement (x, y), which a bias makes. spread_px: median distance. repeated: percent of the unchanged
    photograph's keypoints that have a counterpart; for refined matches, percent of cells that were matched.
    """

    shift_px: tuple[float, float]
    spread_px: float
    repeated: float


_NOTHING_FOUND = Movement((float("nan"), float("nan")), float("nan"), 0.0)


@dataclass(frozen=True)
class MirrorAccuracy:
    """keypoints: by name of CHANGES. refined: semi-dense matches with the shifted photograph, by name of SHIFTS; empty
    if the weights have no refiner. bias_px: (x, y) from what is detected to where keypoints are put, right and down."""

    photographs: int
    keypoints: dict[str, Movement]
    refined: dict[str, Movement]
    bias_px: tuple[float, float]

    @property
    def largest_shift_px(self) -> float:
        """Return the largest median movement along an axis, over all changes."""
        return max(abs(axis) for moved in (*self.keypoints.values(), *self.refined.values()) for axis in moved.shift_px)


def evaluate_mirror(xfeat: XFeat, photographs: Iterable[FloatArray]) -> MirrorAccuracy:
    """Measure sparse features as `xfeat` makes them, and its refiner if there is one, on gray photographs (H, W) in
    [0, 1]; they are seen at the size they have."""
    sparse = XFeat(xfeat.config, runtime=xfeat.runtime, mode=Mode.SPARSE, resize=0)
    dense = None
    if xfeat.runtime.info.has_refiner:
        dense = XFeat(runtime=xfeat.runtime, mode=Mode.SEMI_DENSE, resize=0)
    keypoints: dict[str, list[_Places]] = {name: [] for name in CHANGES}
    refined: dict[str, list[FloatArray]] = {name: [] for name in (SHIFTS if dense else ())}
    count = cells = 0
    for gray in photographs:
        count += 1
        for name, found in places(lambda image: sparse.detect(image).keypoints, gray).items():
            keypoints[name].append(found)
        if dense:
            before = dense.detect(gray)
            cells += len(before)
            for name in SHIFTS:
                refined[name].append(_refined_errors(dense, before, gray, name))
    moved = {name: movement(found) for name, found in keypoints.items()}
    wrong = {name: _summarised(np.concatenate([np.zeros((0, 2)), *each]), cells) for name, each in refined.items()}
    bias = (-moved[LEFT_RIGHT].shift_px[0] / 2, -moved[TOP_BOTTOM].shift_px[1] / 2)
    return MirrorAccuracy(count, moved, wrong, bias)


_Places = tuple[FloatArray, FloatArray]
"""Where keypoints are in the unchanged photograph (N, 2), and those of the changed one, brought back (M, 2)."""


def places(detect: Callable[[FloatArray], FloatArray], gray: FloatArray) -> dict[str, _Places]:
    """Return, for each of CHANGES, the keypoints that `detect` finds in a photograph (H, W) and in the changed one.

    Of the former, (N, 2), those that the changed photograph still shows; the latter, (M, 2), brought back.
    """
    height, width = gray.shape
    before = detect(gray)
    result: dict[str, _Places] = {}
    for name, change in CHANGES.items():
        after = change.back(detect(np.ascontiguousarray(change.pixels(gray))), (width, height))
        result[name] = (before[(before >= SHIFTS.get(name, (0, 0))).all(1)], after)
    return result


def movement(photographs: Sequence[_Places]) -> Movement:
    """Return the movement of keypoints from the one to the other.

    Some of the nearest keypoints are others that stand there by chance, on all sides alike, and so pull towards the
    place where one looks. Looking again around the movement found so far until it stays makes that place the right one.
    """
    shift = np.zeros(2)
    for _ in range(_ROUNDS):
        moved = np.concatenate([np.zeros((0, 2)), *(_counterparts(*one, shift) for one in photographs)])
        if not len(moved):
            return _NOTHING_FOUND
        before, shift = shift, np.median(moved, axis=0)
        if np.abs(shift - before).max() < _SETTLED_PX:
            break
    return _summarised(moved, sum(len(before) for before, _ in photographs))


def _counterparts(before: FloatArray, after: FloatArray, shift: FloatArray) -> FloatArray:
    """Return movements (K, 2) of those keypoints with a counterpart near the place that `shift` expects them at."""
    one, two = mutually_nearest(before + shift, after, REACH_PX)
    return after[two] - before[one]


def _refined_errors(dense: XFeat, before: Features, gray: FloatArray, name: str) -> FloatArray:
    """Return what refined matches (K, 2) of a photograph with itself, shifted, are wrong by. before: its features."""
    matches = dense.match(before, dense.detect(np.ascontiguousarray(CHANGES[name].pixels(gray))))
    assert isinstance(matches, PointMatches)
    return CHANGES[name].back(matches.points1, gray.shape[::-1]) - matches.points0


def _summarised(moved: FloatArray, asked: int) -> Movement:
    if not len(moved):
        return _NOTHING_FOUND
    x, y = np.median(moved, axis=0)
    return Movement((float(x), float(y)), float(np.median(np.linalg.norm(moved, axis=1))), 100 * len(moved) / asked)
