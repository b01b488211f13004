"""What the photographs of one pair say about the keypoints that it matches."""

from __future__ import annotations

import numpy as np

from xfeat_cli.config import RefineConfig
from xfeat_cli.refinement.affines import local_affines
from xfeat_cli.refinement.geometry import epipolar_inliers
from xfeat_cli.refinement.pyramid import Pyramid
from xfeat_cli.refinement.registration import Registered, register
from xfeat_cli.types import BoolArray, FloatArray, Links, Matches

_STRETCH = 4.0
"""Local affines that enlarge or shrink more than this, in any direction, are mistakes."""

_AFFINE_TOLERANCE = 1.6
_WHITE_NOISE_SHARE = 0.05
"""Real noise over what `Registered.covariance` takes it for; found on the shared scenes."""

_FLOOR = 0.005
"""Standard deviation, units, below which no registration is believed."""


def link(
    pyramid0: Pyramid,
    pyramid1: Pyramid,
    keypoints0: FloatArray,
    keypoints1: FloatArray,
    matches: Matches,
    config: RefineConfig,
) -> Links:
    """Register the matches of a pair that obey its epipolar geometry; none where it has too little of one.

    keypoints0, keypoints1: (N, 2) pixels of the stored images.
    """
    index0, index1 = matches.indices.T
    points0, points1 = keypoints0[index0].astype(np.float64), keypoints1[index1].astype(np.float64)
    inliers = np.flatnonzero(
        epipolar_inliers(points0 / pyramid0.unit, points1 / pyramid1.unit, config.epipolar_tolerance)
    )
    if len(inliers) < max(config.least_inliers, config.least_inlier_share * len(matches)):
        return Links.empty()
    points0, points1 = points0[inliers], points1[inliers]
    affines = local_affines(points0, points1, _AFFINE_TOLERANCE * pyramid1.unit).astype(np.float64)
    stretch = np.linalg.svd(affines, compute_uv=False)
    usable = (stretch[:, 1] > 1 / _STRETCH) & (stretch[:, 0] < _STRETCH)
    shifts, covariance, good = _registered(pyramid0, pyramid1, points0, points1, affines, usable, config)
    shifts, covariance = shifts / pyramid1.unit, covariance / pyramid1.unit**2
    covariance = covariance * _WHITE_NOISE_SHARE + _FLOOR**2 * np.eye(2)
    information = np.linalg.inv(covariance[good])
    return Links(
        matches.indices[inliers[good]].astype(np.int32),
        (affines[good] * (pyramid0.unit / pyramid1.unit)).astype(np.float32),
        shifts[good].astype(np.float32),
        information.reshape(-1, 4)[:, [0, 1, 3]].astype(np.float32),
    )


def _registered(
    pyramid0: Pyramid,
    pyramid1: Pyramid,
    points0: FloatArray,
    points1: FloatArray,
    affines: FloatArray,
    usable: BoolArray,
    config: RefineConfig,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return shifts (N, 2) and covariances (N, 2, 2) in stored pixels of image 1, and which of them are good.

    The window is taken from the image that shows the place larger, so that the other need not be sampled too coarsely.
    """
    shifts, covariances = np.zeros((len(points0), 2)), np.zeros((len(points0), 2, 2))
    good = np.zeros(len(points0), bool)
    finest = affines * (pyramid1.scale[:, None] / pyramid0.scale)
    larger0 = np.abs(np.linalg.det(finest)) <= 1
    inverse = np.linalg.inv(np.where(usable[:, None, None], affines, np.eye(2)))
    limit = config.longest_shift
    for chosen, back in ((np.flatnonzero(usable & larger0), False), (np.flatnonzero(usable & ~larger0), True)):
        template, target = (pyramid1, pyramid0) if back else (pyramid0, pyramid1)
        here, there = (points1, points0) if back else (points0, points1)
        maps = (inverse if back else affines)[chosen]
        found = _coarse_to_fine(template, target, here[chosen], there[chosen], maps)
        moved = found.points - there[chosen]
        good[chosen] = (
            found.inside
            & (found.correlation > config.least_correlation)
            & (np.linalg.norm(moved, axis=1) < limit * target.unit)
        )
        shift, covariance = moved, found.covariance
        if back:
            forth = affines[chosen]
            shift = -(forth @ moved[..., None])[..., 0]
            covariance = forth @ covariance @ forth.transpose(0, 2, 1)
        shifts[chosen], covariances[chosen] = shift, covariance
    return shifts, covariances, good


def _coarse_to_fine(
    template: Pyramid, target: Pyramid, points: FloatArray, start: FloatArray, affines: FloatArray
) -> Registered:
    """Behave as `register`, from the coarsest levels to the finest; in stored pixels."""
    levels = max(len(template.levels), len(target.levels))
    for level in reversed(range(levels)):
        here, there = min(level, len(template.levels) - 1), min(level, len(target.levels) - 1)
        forth, back = target.scale / 2**there, template.scale / 2**here
        found = register(
            template.levels[here].gray,
            target.levels[there].doubled,
            template.to_level(points, here),
            target.to_level(start, there),
            affines * (forth[:, None] / back),
        )
        start = target.from_level(found.points, there)
    return Registered(
        start, found.correlation, found.covariance / (forth[:, None] * forth).astype(np.float32), found.inside
    )
