"""Where, how large, and for which tracks the reprojection errors of a model are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import to_colmap
from xfeat_cli.sfm.model import ModelImage, SparseModel

COLUMNS, ROWS = 16, 12
_LEAST_IN_CELL = 15
_MOST_LENGTH = 12

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Observations:
    """All observations of a model, one after another: image row, track, place in [0, 1) of the image, residual, px."""

    image: npt.NDArray[np.int64]
    track: npt.NDArray[np.int64]
    place: FloatArray
    residual: FloatArray

    @property
    def errors(self) -> FloatArray:
        """Return length of each residual, px."""
        return np.linalg.norm(self.residual, axis=1).astype(np.float32)


def observations(model: SparseModel) -> Observations:
    """Return those that have a residual."""
    if not model.images:
        nothing = np.zeros((0, 2), np.float32)
        return Observations(np.zeros(0, np.int64), np.zeros(0, np.int64), nothing, nothing)
    image = np.repeat(np.arange(len(model.images)), [len(image.points) for image in model.images])
    place = np.concatenate([_place(image, model.cameras[image.camera].size) for image in model.images])
    residual = np.concatenate([image.residuals for image in model.images])
    track = np.concatenate([image.tracks for image in model.images])
    finite = np.isfinite(residual).all(axis=1)
    return Observations(image[finite], track[finite], place[finite], residual[finite])


def point_errors(seen: Observations, points: int) -> npt.NDArray[np.float64]:
    """Return mean error of each point's observations (P,), px, as COLMAP states it; NaN where there are none."""
    counts = np.bincount(seen.track, minlength=points)
    with np.errstate(invalid="ignore"):
        return np.bincount(seen.track, seen.errors, minlength=points) / counts


def density(places: FloatArray) -> npt.NDArray[np.float64]:
    """Return how many of the places (N, 2) in [0, 1) lie in each cell, (ROWS, COLUMNS)."""
    return np.bincount(_cell(places), minlength=ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(np.float64)


def field(seen: Observations) -> dict[str, Any]:
    """Return mean residual (observation minus projection, px) by place in the image; None in cells with few
    observations.
    """
    cells = _cell(seen.place)
    counts = np.bincount(cells, minlength=ROWS * COLUMNS)
    means = [
        np.bincount(cells, seen.residual[:, axis], minlength=ROWS * COLUMNS) / np.maximum(counts, 1) for axis in (0, 1)
    ]
    spread = np.bincount(cells, (seen.residual**2).sum(1), minlength=ROWS * COLUMNS) / np.maximum(counts, 1)
    enough = counts >= _LEAST_IN_CELL
    return {
        "columns": COLUMNS,
        "rows": ROWS,
        "count": counts.tolist(),
        "dx": _or_none(means[0], enough),
        "dy": _or_none(means[1], enough),
        "rms": _or_none(np.sqrt(spread), enough),
        "pattern_px": _pattern(means[0], means[1], spread, counts),
    }


def _pattern(dx: npt.NDArray, dy: npt.NDArray, spread: npt.NDArray, counts: npt.NDArray) -> float | None:
    """Return length of the systematic part of the residuals, px: what cell means have beyond the noise of a mean."""
    enough = counts >= _LEAST_IN_CELL
    if not enough.any():
        return None
    squared = dx**2 + dy**2
    noise = (spread - squared) / np.maximum(counts - 1, 1)
    excess = np.average((squared - noise)[enough], weights=counts[enough])
    return float(np.sqrt(max(excess, 0)))


def histogram(errors: FloatArray, bins: int = 40) -> dict[str, Any]:
    """Return counts of errors in equal steps up to the 99th percentile; what lies beyond is counted apart."""
    if not len(errors):
        return {"edges": [], "counts": [], "beyond": 0}
    top = max(float(np.quantile(errors, 0.99)), 1e-6)
    counts, edges = np.histogram(errors[errors <= top], bins, (0, top))
    return {"edges": edges.tolist(), "counts": counts.tolist(), "beyond": int((errors > top).sum())}


def by_track_length(seen: Observations, lengths: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return points and mean error of each track length; the last entry is of that length and above."""
    capped = np.minimum(lengths, _MOST_LENGTH)
    points = np.bincount(capped, minlength=_MOST_LENGTH + 1)
    counts = np.bincount(capped[seen.track], minlength=_MOST_LENGTH + 1)
    sums = np.bincount(capped[seen.track], seen.errors, minlength=_MOST_LENGTH + 1)
    return [
        {
            "length": length,
            "and_above": length == _MOST_LENGTH,
            "points": int(points[length]),
            "error_px": float(sums[length] / counts[length]) if counts[length] else None,
        }
        for length in range(2, _MOST_LENGTH + 1)
        if points[length]
    ]


def _place(image: ModelImage, size: tuple[int, int]) -> FloatArray:
    return np.asarray(to_colmap(image.points) / np.maximum(size, 1), np.float32)


def _cell(places: FloatArray) -> npt.NDArray[np.int64]:
    columns = np.clip((places[:, 0] * COLUMNS).astype(np.int64), 0, COLUMNS - 1)
    rows = np.clip((places[:, 1] * ROWS).astype(np.int64), 0, ROWS - 1)
    return rows * COLUMNS + columns


def _or_none(values: npt.NDArray, keep: npt.NDArray) -> list[float | None]:
    return [float(value) if kept else None for value, kept in zip(values, keep, strict=True)]
