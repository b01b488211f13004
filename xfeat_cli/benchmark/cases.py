"""The measurements: for each, the reference path, the default path, and the work that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.benchmark.accuracy import Agreement, agreement
from xfeat_cli.benchmark.alternatives import alternatives
from xfeat_cli.benchmark.baseline import Baseline
from xfeat_cli.benchmark.config import BenchConfig, Measurement
from xfeat_cli.benchmark.machine import match_gflop, network_gflop, refine_gflop, semi_dense_gflop
from xfeat_cli.benchmark.spans import Spans
from xfeat_cli.config import Backend, ExtractConfig, Mode, Precision
from xfeat_cli.decoding import decode as decode_image
from xfeat_cli.images import ImageFile, Photo, find_images, read_photo
from xfeat_cli.jobs import extract as extract_job
from xfeat_cli.jobs import match as match_job
from xfeat_cli.jobs.matchers import nearest as nearest_matcher
from xfeat_cli.machine.devices import resolve_device, resolve_devices, resolve_precision, workers
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order
from xfeat_cli.matching.nearest import mutual_nearest, nearest_of_pairs, normalised
from xfeat_cli.matching.refine import refine
from xfeat_cli.model import decode, weights
from xfeat_cli.model.backends import DTYPES
from xfeat_cli.model.calibration import choose
from xfeat_cli.model.network import DESCRIPTOR_DIM
from xfeat_cli.model.refiner import BlockedRefiner
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.pairing.lists import exhaustive
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, Matches
from xfeat_cli.xfeat import XFeat

VGA = (480, 640)
LARGE = (800, 1200)
PHOTO = (1024, 1536)
BIG_PHOTO = (2048, 3072)
_KEYPOINTS = 4096
_PAIRS = {"cpu": 4, "cuda": 32, "mps": 4}
_IMAGES_EACH = 2
"""A core's images in a run."""
_RESIZED = 8
"""Most photographs that are measured at another size."""


@dataclass(frozen=True)
class Case:
    """gflop: of one item, as the default path does it. items: how many a run handles.

    agreement: of the default path with itself in fp32 in torch. split: time by stage (s) of one more run of the default
    path, of a worker where several share the work. precision: in which the default path computes; None = the network's.
    alternatives: other programs for one item, by name.
    """

    name: Measurement
    reference: Callable[[], Any]
    default: Callable[[], Any]
    gflop: float
    items: int = 1
    agreement: Callable[[], Agreement] | None = None
    split: Callable[[], dict[str, float]] | None = None
    precision: Precision | None = None
    alternatives: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


class Cases:
    """Makes the cases from a few photographs. folder: for files that are written, empty."""

    def __init__(self, config: BenchConfig, images: list[ImageFile], folder: Path) -> None:
        self._config = config
        self._images = images
        self._folder = folder
        self.device = resolve_device(config.device)
        way = choose(self._weights, self.device, config.precision, config.backend)
        self.precision, self.backend = way.precision, way.backend
        self._options: dict[str, Any] = {
            "weights": config.weights, "device": config.device, "precision": config.precision,
            "backend": config.backend, "resize": config.resize, "grids": config.grids
        }  # fmt: skip
        self._workers = config.threads or usable_cores()

    def make(self, name: Measurement) -> Case:
        makers: dict[Measurement, Callable[[], Case]] = {
            Measurement.NETWORK_640X480: lambda: self._network(name, VGA),
            Measurement.SPARSE_640X480: lambda: self._detection(name, Mode.SPARSE, VGA),
            Measurement.SPARSE_1200X800: lambda: self._detection(name, Mode.SPARSE, LARGE),
            Measurement.SEMIDENSE_1200X800: lambda: self._detection(name, Mode.SEMI_DENSE, LARGE),
            Measurement.MATCH_4096: lambda: self._matching(name, _KEYPOINTS),
            Measurement.REFINE_SEMIDENSE: lambda: self._refinement(name, LARGE),
            Measurement.EXTRACT_FOLDER: lambda: self._extraction(name, self._images),
            Measurement.EXTRACT_1536X1024: lambda: self._extraction(name, self._resized(PHOTO)),
            Measurement.EXTRACT_3072X2048: lambda: self._extraction(name, self._resized(BIG_PHOTO)),
            Measurement.MATCH_PAIRS: lambda: self._pairs(name),
        }
        return makers[name]()

    def _network(self, name: Measurement, size: tuple[int, int]) -> Case:
        gray = self._gray(0, size)
        runtime = Runtime(self._weights, self._config.device, self._config.precision, self._config.backend)
        items = self._items(runtime.batch_size)

        def run() -> None:
            if self.device.type != "cpu":
                runtime.heads(prepared.expand(items, -1, -1, -1))
                return
            for _, future in in_order(lambda _: runtime.heads(prepared), range(items), self._workers):
                future.result()

        prepared = decode.prepare(gray[None])
        return Case(
            name,
            lambda: [self._baseline.heads(gray[None, None]) for _ in range(items)],
            run,
            network_gflop(*size),
            items,
        )

    def _detection(self, name: Measurement, mode: Mode, size: tuple[int, int]) -> Case:
        xfeat, exact = self._xfeat(mode), self._xfeat(mode, precision=Precision.FP32, backend=Backend.TORCH)
        gray = self._gray(0, size)
        photo = _photo(gray)
        items = self._items(xfeat.batch_size)
        if mode is Mode.SPARSE:
            gflop = network_gflop(*size)
            reference: Callable[[], Any] = lambda: self._baseline.sparse(gray, photo.size)  # noqa: E731
        else:
            gflop = semi_dense_gflop(*size)
            top_k = xfeat.config.features_per_image
            reference = lambda: self._baseline.semi_dense(gray, photo.size, top_k)  # noqa: E731

        def run() -> None:
            if self.device.type != "cpu":
                xfeat.detect_photos([photo] * items)
                return
            for _, future in in_order(lambda _: xfeat.detect_photos([photo]), range(items), self._workers):
                future.result()

        def same() -> Agreement:
            return agreement(xfeat.detect_photos([photo])[0], exact.detect_photos([photo])[0])

        others: dict[str, Callable[[], Any]] = {}
        if name is Measurement.SPARSE_1200X800:
            ours = xfeat.config
            others = alternatives(self._weights, gray, ours.features_per_image, ours.detection_threshold)
        return Case(name, lambda: [reference() for _ in range(items)], run, gflop, items, same, alternatives=others)

    def _items(self, batch_size: int) -> int:
        """Return images of a run: a batch of a GPU, or some for each core."""
        return batch_size if self.device.type != "cpu" else _IMAGES_EACH * self._workers

    def _matching(self, name: Measurement, count: int) -> Case:
        """Return pairs of random descriptors, noisy copies of each other in another order."""
        random = torch.Generator().manual_seed(0)
        pairs, count_of_pairs = [], _PAIRS[self.device.type]
        for _ in range(count_of_pairs):
            one = torch.randn(count, DESCRIPTOR_DIM, generator=random)
            two = one[torch.randperm(count, generator=random)] + torch.randn(one.shape, generator=random)
            pairs.append((_as_features(F.normalize(one, dim=1)), _as_features(F.normalize(two, dim=1))))
        tensors = [tuple(torch.from_numpy(f.descriptors).to(self.device) for f in pair) for pair in pairs]
        precision = resolve_precision(self._config.precision, self.device)
        dtype, threshold = DTYPES[precision], self._weights.info.min_cossim

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
            precision=precision,
        )

    def _refinement(self, name: Measurement, size: tuple[int, int]) -> Case:
        xfeat = self._xfeat(Mode.SEMI_DENSE)
        one, two = xfeat.detect_photos([_photo(self._gray(i, size)) for i in (0, 1)])
        d0, d1 = (torch.from_numpy(f.descriptors).to(self.device) for f in (one, two))
        matches, refiner = mutual_nearest(d0, d1), BlockedRefiner(self._weights, self.device, self.precision)
        return Case(
            name,
            lambda: self._baseline.refine(one, two, matches),
            lambda: refine(refiner, one, two, matches, None, xfeat.runtime.labels),
            2 * refine_gflop(len(matches)),
        )

    def _extraction(self, name: Measurement, images: list[ImageFile]) -> Case:
        resize, root = self._config.resize, _root(images)
        names = [image.name for image in images]
        output = self._folder / "default.h5"
        on_cpu = self.device.type == "cpu"
        workers = self._workers if on_cpu else extract_job.default_workers(on_cpu)
        options = self._options | {"image_list": names, "overwrite": True, "workers": workers}

        def split() -> dict[str, float]:
            spans = Spans()
            with spans.watching(
                job=(extract_job, "extract"), reading=(extract_job, "read_photo"), detecting=(XFeat, "detect_photos"),
                network=(Runtime, "sparse_heads"), writing=(extract_job, "_write")
            ):  # fmt: skip
                extract_job.extract(root, output, **options)
            job, detecting, network = (spans.seconds[stage] for stage in ("job", "detecting", "network"))
            reading = spans.seconds["reading"] / workers
            if on_cpu:
                detecting, network = detecting / workers, network / workers
            return {
                "total": job,
                "waiting": max(0.0, job - detecting - (reading if on_cpu else 0)),
                "reading": reading,
                "network": network,
                "decoding": detecting - network,
                "writing": spans.seconds["writing"],
            }

        shapes = [read_photo(image, resize).gray.shape for image in images]
        return Case(
            name,
            lambda: self._baseline.extract(images, resize, self._folder / "reference.h5"),
            lambda: extract_job.extract(root, output, **options),
            sum(network_gflop(*shape) for shape in shapes) / len(shapes),
            items=len(names),
            split=split,
        )

    def _resized(self, size: tuple[int, int]) -> list[ImageFile]:
        """Return JPEGs of the photographs, or some of them, at a size (H, W)."""
        folder = self._folder / f"{size[1]}x{size[0]}"
        folder.mkdir(exist_ok=True)
        for number, image in enumerate(self._images[:_RESIZED]):
            pixels = decode_image(image.path.read_bytes(), image.path)
            if pixels.ndim == 3:
                pixels = pixels[..., ::-1]
            pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{number:03}.jpg"), pixels)
        return find_images(folder)

    def _pairs(self, name: Measurement) -> Case:
        features, theirs = self._folder / "features.h5", self._folder / "features_reference.h5"
        names = [image.name for image in self._images]
        extract_job.extract(_root(self._images), features, **self._options, image_list=names)
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
                matching=(nearest_matcher, "nearest_of_pairs"), writing=(Store, "put")
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

    @cached_property
    def _weights(self) -> weights.Weights:
        return weights.load(self._config.weights)

    @cached_property
    def _baseline(self) -> Baseline:
        ours = ExtractConfig()
        return Baseline(self._weights, self.device, ours.features_per_image, ours.detection_threshold)

    def _xfeat(self, mode: Mode, **options: Any) -> XFeat:
        return XFeat(replace(ExtractConfig(mode=mode), **(self._options | options)))

    def _gray(self, index: int, size: tuple[int, int]) -> Tensor:
        """Return a photograph (H, W) on the device, stretched to the size."""
        gray = read_photo(self._images[index % len(self._images)], 0).gray
        return torch.from_numpy(cv2.resize(gray, size[::-1], interpolation=cv2.INTER_AREA)).to(self.device)


def _root(images: list[ImageFile]) -> Path:
    """Return the folder that the photographs' names are relative to."""
    first = images[0]
    return first.path.parents[first.name.count("/")]


def _photo(gray: Tensor) -> Photo:
    size = (gray.shape[1], gray.shape[0])
    return Photo("photograph", gray.cpu().numpy(), size, size)


def _as_features(descriptors: Tensor) -> Features:
    count = len(descriptors)
    return Features(np.zeros((count, 2), np.float32), np.zeros(count, np.float32), descriptors.numpy(), (1, 1))
