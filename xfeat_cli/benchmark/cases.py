"""The measurements: for each, the reference path, the default path, and the work that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.benchmark.accuracy import Agreement, agreement
from xfeat_cli.benchmark.baseline import Baseline
from xfeat_cli.benchmark.config import BenchConfig, Measurement
from xfeat_cli.benchmark.machine import match_gflop, network_gflop, refine_gflop, semi_dense_gflop
from xfeat_cli.benchmark.spans import Spans
from xfeat_cli.config import ExtractConfig, Mode, Precision
from xfeat_cli.images import ImageFile, Photo, read_photo
from xfeat_cli.jobs import extract as extract_job
from xfeat_cli.jobs import match as match_job
from xfeat_cli.jobs import matcher as matcher_job
from xfeat_cli.matching.nearest import mutual_nearest, nearest_of_pairs, normalised
from xfeat_cli.matching.refine import refine
from xfeat_cli.model import decode, weights
from xfeat_cli.model.devices import resolve_devices, workers
from xfeat_cli.model.extractor import XFeat
from xfeat_cli.model.network import DESCRIPTOR_DIM
from xfeat_cli.model.refiner import BlockedRefiner
from xfeat_cli.model.runtime import DTYPES, Runtime, resolve_device, resolve_precision
from xfeat_cli.pairs import exhaustive
from xfeat_cli.store import FeaturesReader, Store
from xfeat_cli.types import Features, Matches

VGA = (480, 640)
LARGE = (800, 1200)
_KEYPOINTS = 4096
_PAIRS = {"cpu": 4, "cuda": 32, "mps": 4}
_MIN_CONFIDENCE = 0.25


@dataclass(frozen=True)
class Case:
    """gflop: of one item, as the default path does it. items: how many a run handles.

    agreement: of the default path with itself in fp32. split: time by stage (s) of one more run of the default path.
    """

    name: Measurement
    reference: Callable[[], Any]
    default: Callable[[], Any]
    gflop: float
    items: int = 1
    agreement: Callable[[], Agreement] | None = None
    split: Callable[[], dict[str, float]] | None = None


class Cases:
    """Makes the cases from a few photographs. folder: for files that are written, empty."""

    def __init__(self, config: BenchConfig, images: list[ImageFile], folder: Path) -> None:
        self._config = config
        self._images = images
        self._folder = folder
        self.device = resolve_device(config.device)
        self.precision = resolve_precision(config.precision, self.device)
        self._options: dict[str, Any] = {
            "weights": config.weights, "device": config.device, "precision": config.precision, "resize": config.resize
        }  # fmt: skip

    def make(self, name: Measurement) -> Case:
        makers: dict[Measurement, Callable[[], Case]] = {
            Measurement.NETWORK_640X480: lambda: self._network(name, VGA),
            Measurement.SPARSE_640X480: lambda: self._detection(name, Mode.SPARSE, VGA),
            Measurement.SPARSE_1200X800: lambda: self._detection(name, Mode.SPARSE, LARGE),
            Measurement.SEMIDENSE_1200X800: lambda: self._detection(name, Mode.SEMI_DENSE, LARGE),
            Measurement.MATCH_4096: lambda: self._matching(name, _KEYPOINTS),
            Measurement.REFINE_SEMIDENSE: lambda: self._refinement(name, LARGE),
            Measurement.EXTRACT_FOLDER: lambda: self._extraction(name),
            Measurement.MATCH_PAIRS: lambda: self._pairs(name),
        }
        return makers[name]()

    def _network(self, name: Measurement, size: tuple[int, int]) -> Case:
        gray = self._gray(0, size)
        runtime = Runtime(self._weights, self._config.device, self._config.precision)
        prepared = decode.prepare(gray[None])
        return Case(
            name,
            lambda: self._baseline.heads(gray[None, None]),
            lambda: runtime.heads(prepared),
            network_gflop(*size),
        )

    def _detection(self, name: Measurement, mode: Mode, size: tuple[int, int]) -> Case:
        xfeat, exact = self._xfeat(mode), self._xfeat(mode, Precision.FP32)
        gray = self._gray(0, size)
        photo = _photo(gray)
        if mode is Mode.SPARSE:
            gflop = network_gflop(*size)
            reference: Callable[[], Any] = lambda: self._baseline.sparse(gray, photo.size)  # noqa: E731
        else:
            gflop = semi_dense_gflop(*size)
            top_k = xfeat.config.features_per_image
            reference = lambda: self._baseline.semi_dense(gray, photo.size, top_k)  # noqa: E731

        def same() -> Agreement:
            return agreement(xfeat.detect_photos([photo])[0], exact.detect_photos([photo])[0])

        return Case(name, reference, lambda: xfeat.detect_photos([photo]), gflop, agreement=same)

    def _matching(self, name: Measurement, count: int) -> Case:
        """Pairs of random descriptors, noisy copies of each other in another order."""
        random = torch.Generator().manual_seed(0)
        pairs, count_of_pairs = [], _PAIRS[self.device.type]
        for _ in range(count_of_pairs):
            one = torch.randn(count, DESCRIPTOR_DIM, generator=random)
            two = one[torch.randperm(count, generator=random)] + torch.randn(one.shape, generator=random)
            pairs.append((_as_features(F.normalize(one, dim=1)), _as_features(F.normalize(two, dim=1))))
        tensors = [tuple(torch.from_numpy(f.descriptors).to(self.device) for f in pair) for pair in pairs]
        dtype, threshold = DTYPES[self.precision], self._weights.info.min_cossim

        def run(dtype: torch.dtype = dtype) -> list[Matches]:
            return nearest_of_pairs([(normalised(a, dtype), normalised(b, dtype)) for a, b in tensors], threshold, 1.0)

        def same() -> Agreement:
            found, expected = ({tuple(i) for m in run(d) for i in m.indices.tolist()} for d in (dtype, torch.float32))
            return Agreement(len(found & expected) / max(len(expected), 1), 1.0)

        return Case(
            name,
            lambda: [self._baseline.match(*pair) for pair in pairs],
            run,
            match_gflop(count, count),
            items=count_of_pairs,
            agreement=same,
        )

    def _refinement(self, name: Measurement, size: tuple[int, int]) -> Case:
        xfeat = self._xfeat(Mode.SEMI_DENSE)
        one, two = xfeat.detect_photos([_photo(self._gray(i, size)) for i in (0, 1)])
        d0, d1 = (torch.from_numpy(f.descriptors).to(self.device) for f in (one, two))
        matches, refiner = mutual_nearest(d0, d1), BlockedRefiner(xfeat.runtime)
        return Case(
            name,
            lambda: self._baseline.refine(one, two, matches),
            lambda: refine(refiner, one, two, matches, _MIN_CONFIDENCE),
            2 * refine_gflop(len(matches)),
        )

    def _extraction(self, name: Measurement) -> Case:
        resize = self._config.resize
        names = [image.name for image in self._images]
        output = self._folder / "default.h5"
        options = self._options | {"image_list": names, "overwrite": True}

        def split() -> dict[str, float]:
            spans = Spans()
            with spans.watching(
                job=(extract_job, "extract"), reading=(extract_job, "read_photo"), detecting=(XFeat, "detect_photos"),
                network=(Runtime, "heads"), writing=(extract_job, "_write")
            ):  # fmt: skip
                extract_job.extract(self._root, output, **options)
            seconds = dict(spans.seconds)
            job, detecting = seconds.pop("job"), seconds.pop("detecting")
            return {
                "total": job,
                "waiting": max(0.0, job - detecting),
                "decoding": detecting - seconds["network"],
                **seconds,
            }

        shapes = [read_photo(image, resize).gray.shape for image in self._images]
        return Case(
            name,
            lambda: self._baseline.extract(self._images, resize, self._folder / "reference.h5"),
            lambda: extract_job.extract(self._root, output, **options),
            sum(network_gflop(*shape) for shape in shapes) / len(shapes),
            items=len(names),
            split=split,
        )

    def _pairs(self, name: Measurement) -> Case:
        features, theirs = self._folder / "features.h5", self._folder / "features_reference.h5"
        names = [image.name for image in self._images]
        extract_job.extract(self._root, features, **self._options, image_list=names)
        self._baseline.extract(self._images, self._config.resize, theirs)
        pairs = list(exhaustive(names))
        output = self._folder / "matches.h5"
        options: dict[str, Any] = {
            "device": self._config.device, "precision": self._config.precision, "overwrite": True
        }  # fmt: skip

        def split() -> dict[str, float]:
            spans = Spans()
            with spans.watching(
                job=(match_job, "match"), reading=(FeaturesReader, "load"),
                matching=(matcher_job, "nearest_of_pairs"), writing=(Store, "put")
            ):  # fmt: skip
                match_job.match(pairs, features, output, **options)
            seconds = dict(spans.seconds)
            total, each = seconds.pop("job"), len(workers(resolve_devices(self._config.device)))
            matching = seconds.pop("matching") / each
            return {"total": total, "matching": matching, "waiting": max(0.0, total - matching), **seconds}

        with FeaturesReader(features) as reader:
            counts = {n: len(reader.load(n)) for n in names}
        return Case(
            name,
            lambda: self._baseline.match_pairs(pairs, theirs, self._folder / "matches_reference.h5"),
            lambda: match_job.match(pairs, features, output, **options),
            sum(match_gflop(counts[a], counts[b]) for a, b in pairs) / len(pairs),
            items=len(pairs),
            split=split,
        )

    @property
    def _root(self) -> Path:
        """The folder that the photographs' names are relative to."""
        first = self._images[0]
        return first.path.parents[first.name.count("/")]

    @cached_property
    def _weights(self) -> weights.Weights:
        return weights.load(self._config.weights)

    @cached_property
    def _baseline(self) -> Baseline:
        ours = ExtractConfig()
        return Baseline(self._weights, self.device, ours.features_per_image, ours.detection_threshold)

    def _xfeat(self, mode: Mode, precision: Precision | None = None) -> XFeat:
        options = self._options if precision is None else self._options | {"precision": precision}
        return XFeat(replace(ExtractConfig(mode=mode), **options))

    def _gray(self, index: int, size: tuple[int, int]) -> Tensor:
        """A photograph (H, W) on the device, stretched to the size."""
        gray = read_photo(self._images[index % len(self._images)], 0).gray
        return torch.from_numpy(cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA)).to(self.device)


def _photo(gray: Tensor) -> Photo:
    return Photo("photograph", gray.cpu().numpy(), (gray.shape[1], gray.shape[0]), "")


def _as_features(descriptors: Tensor) -> Features:
    count = len(descriptors)
    return Features(np.zeros((count, 2), np.float32), np.zeros(count, np.float32), descriptors.numpy(), (1, 1))
