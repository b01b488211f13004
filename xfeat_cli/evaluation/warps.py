"""Accuracy of weights on pairs of views made from photographs, whose correspondence is exactly known.

Everything runs as in `xfeat extract` and `xfeat match` (default decoding, mutual nearest neighbours, no threshold), at
the size of the views. Errors are in pixels of image 0: the distance of a match's point in image 0 from where its point
in image 1 truly lies. Matches whose point image 0 does not show are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xfeat_cli.config import Mode
from xfeat_cli.evaluation.distances import nearest_distances
from xfeat_cli.matching.nearest import mutual_nearest
from xfeat_cli.matching.refine import refine
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.synthesis import geometry, light
from xfeat_cli.synthesis.pairs import CANVAS_PER_VIEW, Pairs, make_pairs
from xfeat_cli.types import FloatArray
from xfeat_cli.xfeat import XFeat

ACCURACIES_PX = (1.0, 3.0, 5.0)
_REPEATED_PX = 3.0
_CORRECT_PX = 3.0
_TOP_K = {Mode.SPARSE: 1024, Mode.SEMI_DENSE: 2048}
_MULTIPLE = 32
_KEPT_CORRECT = 0.999
"""A robust estimator rejects wrong matches but brings back no correct ones, and real change is harder than this."""


@dataclass(frozen=True)
class WarpAccuracy:
    """accuracy: percent of matches within each of ACCURACIES_PX. matches: mean count a pair.

    repeatability: percent of the keypoints of image 1 that image 0 shows which have a keypoint of image 0 within 3 px;
    localisation_px: mean distance of those. cosine: the threshold that keeps 999 of 1,000 correct matches.
    refined_px: median error of refined semi-dense matches that the confidence rule keeps; refined_kept: their
    percentage; refined_shift_px: their median error along x and y. None without a refiner.
    """

    pairs: int
    matches: float
    accuracy: tuple[float, ...]
    repeatability: float
    localisation_px: float
    cosine: float
    refined_px: float | None = None
    refined_kept: float | None = None
    refined_shift_px: tuple[float, float] | None = None


@torch.inference_mode()
def evaluate_warps(
    runtime: Runtime, photos: Sequence[Tensor], pairs: int, seed: int = 0, min_confidence: float | None = None
) -> WarpAccuracy:
    """Measure on `pairs` pairs of views of photographs (h, w) uint8, taken in turn; the same seed gives the same."""
    modes = (Mode.SPARSE, Mode.SEMI_DENSE) if runtime.info.has_refiner else (Mode.SPARSE,)
    xfeat = {mode: XFeat(mode=mode, top_k=_TOP_K[mode], resize=0, runtime=runtime) for mode in modes}
    generator = torch.Generator().manual_seed(seed)
    errors, cosines, found, refined, kept = [], [], [], [], []
    for number in range(pairs):
        pair = _pair(generator, photos[number % len(photos)])
        images = [image[0, 0].numpy() for image in (pair.image0, pair.image1)]
        one, two = xfeat[Mode.SPARSE].detect(images)
        matches = mutual_nearest(torch.from_numpy(one.descriptors), torch.from_numpy(two.descriptors))
        first, second = matches.indices.T
        error, seen = _errors(pair, one.keypoints[first], two.keypoints[second])
        errors.append(np.linalg.norm(error[seen], axis=1))
        cosines.append(matches.scores[seen])
        found.append(_distances_to_nearest(pair, one.keypoints, two.keypoints))
        if Mode.SEMI_DENSE in xfeat:
            dense0, dense1 = xfeat[Mode.SEMI_DENSE].detect(images)
            cells = mutual_nearest(torch.from_numpy(dense0.descriptors), torch.from_numpy(dense1.descriptors))
            points = refine(runtime.refine, dense0, dense1, cells, min_confidence, runtime.labels)
            error, seen = _errors(pair, points.points0, points.points1)
            refined.append(error[seen])
            kept.append(len(points) / max(1, len(cells)))
    return _summarised(pairs, errors, cosines, found, refined, kept)


def _summarised(
    pairs: int,
    errors: list[FloatArray],
    cosines: list[FloatArray],
    found: list[FloatArray],
    refined: list[FloatArray],
    kept: list[float],
) -> WarpAccuracy:
    error, cosine, distance = np.concatenate(errors), np.concatenate(cosines), np.concatenate(found)
    repeated = distance < _REPEATED_PX
    moved = np.concatenate(refined) if refined else np.zeros((0, 2))
    has_refined = len(moved) > 0
    return WarpAccuracy(
        pairs,
        float(np.mean([len(one) for one in errors])),
        tuple(100 * float(np.mean(error < bound)) if len(error) else 0.0 for bound in ACCURACIES_PX),
        100 * float(repeated.mean()) if len(distance) else 0.0,
        float(distance[repeated].mean()) if repeated.any() else float("nan"),
        threshold_keeping(cosine[error < _CORRECT_PX], _KEPT_CORRECT),
        float(np.median(np.linalg.norm(moved, axis=1))) if has_refined else None,
        100 * float(np.mean(kept)) if has_refined else None,
        (float(np.median(moved[:, 0])), float(np.median(moved[:, 1]))) if has_refined else None,
    )


def threshold_keeping(cosines: FloatArray, share: float) -> float:
    """Return the threshold, rounded down to 0.01, that at least `share` of the cosines (M,) reach; −1 without any."""
    return float(np.floor(100 * np.quantile(cosines, 1 - share)) / 100) if len(cosines) else -1.0


def _pair(generator: torch.Generator, photo: Tensor) -> Pairs:
    view = tuple(max(_MULTIPLE, int(side / CANVAS_PER_VIEW) // _MULTIPLE * _MULTIPLE) for side in photo.shape)
    canvas = photo[None, None].float() / 255
    return make_pairs(generator, canvas, (view[0], view[1]), geometry.EVALUATED, light.EVALUATED)


def _true_places(pair: Pairs, points1: FloatArray) -> tuple[FloatArray, np.ndarray]:
    """Return where points (M, 2) of image 1 lie in image 0, and whether image 0 shows all four pixels around them."""
    to0, visible = pair.to0[0].numpy(), pair.visible[0].numpy()
    height, width = visible.shape
    x, y = points1[:, 0].clip(0, width - 1.001), points1[:, 1].clip(0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    du, dv = (x - left)[:, None], (y - top)[:, None]
    around = [to0[top + j, left + i] for j in (0, 1) for i in (0, 1)]
    places = (around[0] * (1 - du) + around[1] * du) * (1 - dv) + (around[2] * (1 - du) + around[3] * du) * dv
    seen = np.all([visible[top + j, left + i] for j in (0, 1) for i in (0, 1)], axis=0)
    return places, seen


def _errors(pair: Pairs, points0: FloatArray, points1: FloatArray) -> tuple[FloatArray, np.ndarray]:
    places, seen = _true_places(pair, points1)
    return points0 - places, seen


def _distances_to_nearest(pair: Pairs, keypoints0: FloatArray, keypoints1: FloatArray) -> FloatArray:
    """Return, for each keypoint of image 1 that image 0 shows, the distance to image 0's nearest keypoint."""
    places, seen = _true_places(pair, keypoints1)
    return nearest_distances(places[seen], keypoints0)
