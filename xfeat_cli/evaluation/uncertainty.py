"""Whether stated uncertainties are true: reprojection residuals of a model in units of its keypoints' own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xfeat_cli.coordinates import to_colmap
from xfeat_cli.errors import UsageError
from xfeat_cli.sfm.reconstruction import read_model
from xfeat_cli.store.reader import KeypointsReader
from xfeat_cli.types import FloatArray

OUTLIER = 5.0
"""z-scores beyond this are mistakes (of matches, not of positions): counted, and left out of the spread."""

BANDS = 5


@dataclass(frozen=True)
class Band:
    """Observations of like uncertainty. least, most: px. spread, robust_spread: of their z-scores; 1 is right."""

    least: float
    most: float
    observations: int
    spread: float
    robust_spread: float


@dataclass(frozen=True)
class UncertaintyScore:
    """z-scores along x and y, each divided by what fitting a point to its observations takes from them.

    spread: their standard deviation without outliers; robust_spread: 1.4826 times the median size. outliers: share of
    observations with a z-score beyond OUTLIER. bands: by uncertainty, of equally many observations.
    """

    observations: int
    spread: float
    robust_spread: float
    outliers: float
    bands: list[Band]


def score_uncertainty(model: Path, keypoints: Path) -> UncertaintyScore:
    """Compare a COLMAP model folder with the keypoints file that its database was made of.

    Raises UsageError where the file states no uncertainties or the model is of other keypoints, StoreError, SfmError.
    """
    z, uncertainty = _z_scores(model, keypoints)
    if not len(z):
        raise UsageError(f"{model} and {keypoints} have no observation in common")
    edges = np.quantile(uncertainty, np.linspace(0, 1, BANDS + 1))
    band = np.clip(np.searchsorted(edges, uncertainty, "right") - 1, 0, BANDS - 1)
    bands = [
        Band(float(edges[number]), float(edges[number + 1]), int((band == number).sum()), *_spreads(z[band == number]))
        for number in range(BANDS)
        if (band == number).any()
    ]
    outliers = float((np.abs(z) > OUTLIER).any(1).mean())
    return UncertaintyScore(len(z), *_spreads(z), outliers, bands)


def _z_scores(model: Path, keypoints: Path) -> tuple[FloatArray, FloatArray]:
    """Return z-scores (N, 2) and uncertainties (N,) px of all observations of points that at least three images see."""
    found = read_model(model)
    z, uncertainty = [np.zeros((0, 2))], [np.zeros(0)]
    with KeypointsReader(keypoints) as reader:
        for image in found.images.values():
            if not image.has_pose or image.name not in reader:
                continue
            stated = reader.uncertainties(image.name)
            if stated is None:
                raise UsageError(f"{keypoints} states no uncertainties; give what `xfeat refine` wrote")
            if len(stated) != len(image.points2D):
                raise UsageError(f"{model} was not made of {keypoints}: {image.name} has other keypoints there")
            seen = [index for index, point in enumerate(image.points2D) if point.has_point3D()]
            points = [found.points3D[image.points2D[index].point3D_id] for index in seen]
            lengths = np.array([point.track.length() for point in points])
            projected = np.array([_projection(image, point.xyz) for point in points]).reshape(-1, 2)
            at = np.asarray(to_colmap(reader.load(image.name).keypoints[seen]), np.float64)
            kept = (lengths >= 3) & np.isfinite(projected).all(1)
            freedom = np.sqrt((2 * lengths - 3) / (2 * lengths))
            scaled = (at - projected) / (stated[seen] * freedom)[:, None]
            z.append(scaled[kept])
            uncertainty.append(stated[seen][kept])
    return np.concatenate(z), np.concatenate(uncertainty)


def _projection(image: object, point: FloatArray) -> FloatArray:
    found = image.project_point(point)  # type: ignore[attr-defined]
    return np.full(2, np.nan) if found is None else np.asarray(found)


def _spreads(z: FloatArray) -> tuple[float, float]:
    inside = z[(np.abs(z) <= OUTLIER).all(1)]
    return float(np.sqrt((inside**2).mean())) if len(inside) else 0.0, float(1.4826 * np.median(np.abs(z)))
