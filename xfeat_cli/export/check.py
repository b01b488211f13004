"""Exported files against the Python path: the same features from the same pictures, in whatever runs the file here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xfeat_cli.config import Mode
from xfeat_cli.errors import ExportError
from xfeat_cli.export.config import ExportConfig, Part
from xfeat_cli.export.formats import Run
from xfeat_cli.matching.nearest import mutual_nearest
from xfeat_cli.matching.refine import share
from xfeat_cli.model.network import DESCRIPTOR_DIM
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.types import Features, FloatArray
from xfeat_cli.xfeat import XFeat

SIZES = ((1, 480, 640), (2, 333, 517), (1, 736, 960))
"""Pictures of a batch, and their (height, width)."""

ROWS = ((700, 900), (64, 1), (2000, 1500))
"""Descriptors of the two images that a matcher is checked with; a refiner takes the first number."""


@dataclass(frozen=True)
class Tolerance:
    """shared: least share of the Python path's keypoints (or matches) that the file gives too; near_px: within.
    cosine: least cosine of a shared keypoint's descriptors. number: largest difference of a refiner's offset, px."""

    shared: float
    near_px: float
    cosine: float
    number: float


EXACT = Tolerance(0.999, 0.01, 0.9999, 1e-3)
"""In float32 the last bits differ, so of a thousand keypoints one may change places with the next in line."""

HALF = Tolerance(0.93, 0.5, 0.99, 0.1)


@dataclass(frozen=True)
class Agreement:
    """Of a file in one runtime with the Python path, the worst over SIZES or ROWS, as in Tolerance; None = not said."""

    runtime: str
    shared: float
    cosine: float | None = None
    largest_difference: float | None = None

    def require(self, allowed: Tolerance, what: str) -> None:
        """Raise ExportError if it is worse than allowed."""
        if (
            self.shared < allowed.shared
            or (self.cosine is not None and self.cosine < allowed.cosine)
            or (self.largest_difference is not None and self.largest_difference > allowed.number)
        ):
            raise ExportError(
                f"{what} does not agree with the Python path in {self.runtime} ({self}), so it was not written; "
                "try another format, or another version of that runtime"
            )


def agreement(part: Part, name: str, run: Run, runtime: Runtime, config: ExportConfig) -> Agreement:
    """Compare a file with the Python path. name: of what runs it. runtime: the network in float32 by torch."""
    if part is Part.MATCHER:
        return _of_matches(name, run, least_cosine(config, runtime))
    if part is Part.REFINER:
        return _of_offsets(name, run, runtime)
    if part is Part.SPARSE:
        threshold = config.detection_threshold
        xfeat = XFeat(runtime=runtime, top_k=config.top_k, grids=config.grids, detection_threshold=threshold, resize=0)
    else:
        xfeat = XFeat(runtime=runtime, top_k=config.dense_top_k, mode=Mode.SEMI_DENSE, resize=0)
    return _of_features(name, run, xfeat, tolerance(config))


def tolerance(config: ExportConfig) -> Tolerance:
    return HALF if config.half else EXACT


def least_cosine(config: ExportConfig, runtime: Runtime) -> float:
    """Return the least cosine of a match: what is asked for, or what suits the weights."""
    return runtime.info.min_cossim if config.min_cossim is None else config.min_cossim


def picture(height: int, width: int, seed: int) -> FloatArray:
    """Return a gray picture (H, W) in [0, 1] of many overlapping rectangles, slightly blurred, with a little noise."""
    generator = np.random.default_rng(seed)
    gray: FloatArray = np.full((height, width), 0.5, np.float32)
    for _ in range(height * width // 1500):
        top, left = generator.integers(0, height), generator.integers(0, width)
        rows, columns = generator.integers(4, 60, 2)
        gray[top : top + rows, left : left + columns] = generator.uniform(0, 1)
    for axis in (0, 1):
        gray = (np.roll(gray, 1, axis) + 2 * gray + np.roll(gray, -1, axis)) / 4
    return np.clip(gray + generator.normal(0, 0.01, gray.shape), 0, 1).astype(np.float32)


def _of_features(name: str, run: Run, xfeat: XFeat, allowed: Tolerance) -> Agreement:
    shares, cosines = [], []
    for number, (count, height, width) in enumerate(SIZES):
        pictures = [picture(height, width, seed=10 * number + i) for i in range(count)]
        outputs = run([np.stack(pictures)[:, None]])
        for i, expected in enumerate(xfeat.detect(pictures)):
            kept = outputs[1][i] > 0
            points, _, descriptors, *scales = (output[i][kept] for output in outputs)
            share, cosine = _shared(expected, _places(points, scales), descriptors, allowed.near_px)
            shares.append(min(share, len(expected) / max(1, len(points))))
            cosines.append(cosine)
    return Agreement(name, min(shares), min(cosines))


def _places(points: FloatArray, scales: Sequence[FloatArray]) -> torch.Tensor:
    """Return points (N, 2), and their scale if they have one: cells of two scales may lie in one place."""
    return torch.from_numpy(np.column_stack([points, *(100 * scale for scale in scales)]).astype(np.float32))


def _shared(expected: Features, places: torch.Tensor, descriptors: FloatArray, near_px: float) -> tuple[float, float]:
    """Return share of the expected keypoints that are among the given, and the least cosine of their descriptors."""
    wanted = _places(expected.keypoints, [] if expected.scales is None else [expected.scales])
    if not len(wanted) or not len(places):
        return float(len(wanted) == len(places)), 1.0
    apart = torch.cdist(wanted, places, compute_mode="donot_use_mm_for_euclid_dist")
    distance, partner = (part.numpy() for part in apart.min(1))
    near = distance <= near_px
    if not near.any():
        return 0.0, 0.0
    a, b = expected.descriptors[near], descriptors[partner[near]]
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(near.mean()), float(cosine.min())


def _of_matches(name: str, run: Run, min_cossim: float) -> Agreement:
    shares = []
    for seed, (count0, count1) in enumerate(ROWS):
        one, two = _descriptors(count0, count1, seed)
        matches, _ = run([one, two])
        expected = np.full(count0, -1)
        first, second = mutual_nearest(torch.from_numpy(one), torch.from_numpy(two), min_cossim).indices.T
        expected[first] = second
        shares.append(float(np.mean(matches == expected)))
    return Agreement(name, min(shares))


def _of_offsets(name: str, run: Run, runtime: Runtime) -> Agreement:
    differences = []
    for seed, (count, _) in enumerate(ROWS):
        one, two = _descriptors(count, count, seed)
        offsets, confidences = run([one, two])
        logits = runtime.refine(torch.from_numpy(one), torch.from_numpy(two))
        expected, confidence = (part.numpy() for part in runtime.labels.decode(logits))
        expected = share(runtime.labels) * expected
        differences.append(max(np.abs(offsets - expected).max(), np.abs(confidences - confidence).max()))
    return Agreement(name, 1.0, largest_difference=float(max(differences)))


def _descriptors(count0: int, count1: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return the descriptors of two images: the second's are the first's with noise, as far as they go, in
    another order.
    """
    generator = np.random.default_rng(seed)
    one = generator.normal(size=(count0, DESCRIPTOR_DIM)).astype(np.float32)
    two = one[np.arange(count1) % count0] + generator.normal(0, 0.7, (count1, DESCRIPTOR_DIM))
    return one, generator.permutation(two).astype(np.float32)
