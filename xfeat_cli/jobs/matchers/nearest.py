"""Matches pairs of one features file, or of two, several at once, on one device or several of a kind."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from queue import SimpleQueue

import torch
from torch import Tensor

from xfeat_cli.config import MatchConfig
from xfeat_cli.errors import StoreError, UsageError, WeightsError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.matchers.base import PairResult
from xfeat_cli.jobs.matchers.readers import PairReaders
from xfeat_cli.machine.devices import resolve_devices, resolve_precision, workers
from xfeat_cli.machine.threads import single_threaded_pool
from xfeat_cli.matching.nearest import nearest_of_pairs, normalised
from xfeat_cli.matching.refine import refine
from xfeat_cli.model import weights
from xfeat_cli.model.backends import DTYPES
from xfeat_cli.model.labels import LABELS
from xfeat_cli.model.lighterglue_state import DESCRIPTOR
from xfeat_cli.model.refiner import BlockedRefiner
from xfeat_cli.model.weights import Weights
from xfeat_cli.store.layout import SEMI_DENSE_FEATURES, matches_entry, point_matches_entry
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import Features, Matches, Pair

SHARED_IMAGES = 32
"""Images whose features are kept for other pairs."""

_CACHE_BYTES = 128 << 20
"""Most memory for them; a pair's two images are kept in any case."""

_PAIRS_AT_ONCE = {"cpu": 1, "cuda": 16, "mps": 4}
"""Pairs that a worker is given together."""


@dataclass(frozen=True)
class _Loaded:
    """An image's features. digest: empty for features of other tools."""

    features: Features
    digest: str
    dtype: torch.dtype
    _on_device: dict[torch.device, Tensor] = field(default_factory=dict)

    def descriptors(self, device: torch.device) -> Tensor:
        """Return (N, D), normalised. Two workers may both make it, which costs a moment and no more."""
        if device not in self._on_device:
            raw = torch.from_numpy(self.features.descriptors).to(device)
            self._on_device[device] = normalised(raw, self.dtype)
        return self._on_device[device]

    @cached_property
    def bytes(self) -> int:
        """Return the bytes in memory, the normalised descriptors on one device included."""
        descriptors = self.features.descriptors
        return descriptors.nbytes + descriptors.size * self.dtype.itemsize + self.features.keypoints.nbytes


class NearestMatcher:
    """Matches pairs as a `MatchConfig` says. Raises UsageError, WeightsError."""

    def __init__(self, readers: PairReaders, config: MatchConfig) -> None:
        self.semi_dense = readers.kind == SEMI_DENSE_FEATURES
        self.devices = resolve_devices(config.device)
        self.precision = resolve_precision(config.precision, self.devices[0])
        self._dtype = DTYPES[self.precision]
        self._config = config
        self._readers = readers
        self._reader = readers.readers[1]
        self._weights = self._refining_weights() if self.semi_dense else None
        self._refiners = {} if self._weights is None else self._refiners_of(self._weights)
        self._threshold = self._default_threshold() if config.min_cossim is None else config.min_cossim
        self._cache: OrderedDict[tuple[FeaturesReader, str], _Loaded] = OrderedDict()

    def match(self, pairs: Iterable[Pair]) -> Generator[tuple[Pair, PairResult | StoreError], None, None]:
        """Yield each pair, in the order given, with its matches, or the error for damaged features of its images."""
        each = workers(self.devices)
        free: SimpleQueue[torch.device] = SimpleQueue()
        for device in each:
            free.put(device)
        upcoming = iter(pairs)
        pending: deque[tuple[list[Pair], Future[list[PairResult | StoreError]]]] = deque()
        with single_threaded_pool(len(each)) as pool:
            while True:
                while len(pending) < 2 * len(each):
                    group = list(islice(upcoming, _PAIRS_AT_ONCE[each[0].type]))
                    if not group:
                        break
                    pending.append((group, pool.submit(self._work, free, [self._load_pair(pair) for pair in group])))
                if not pending:
                    return
                group, future = pending.popleft()
                yield from zip(group, future.result(), strict=True)

    def provenance(self) -> dict[str, str | int | float]:
        """Return what decides the matches: options, weights, and the features' own provenance."""
        provenance: dict[str, str | int | float] = {
            **self._readers.provenance(),
            "min_cossim": self._threshold,
            "ratio": self._config.ratio,
            "precision": self.precision.value,
        }
        if self._weights is not None:
            least, labels = self._config.min_confidence, LABELS[self._weights.info.refiner_labels]
            provenance["min_confidence"] = labels.min_confidence if least is None else least
            provenance["weights"] = self._weights.info.name
            provenance["weights_sha256"] = self._weights.info.sha256
        return provenance

    def _work(
        self, free: SimpleQueue[torch.device], pairs: list[tuple[_Loaded, _Loaded] | StoreError]
    ) -> list[PairResult | StoreError]:
        """Match some pairs on a device that no other worker uses; an error stays in its place."""
        sound = [pair for pair in pairs if not isinstance(pair, StoreError)]
        device = free.get()
        try:
            tensors = [(one.descriptors(device), two.descriptors(device)) for one, two in sound]
            matches = nearest_of_pairs(tensors, self._threshold, self._config.ratio)
            found = iter([self._finish(device, *pair, one) for pair, one in zip(sound, matches, strict=True)])
        finally:
            free.put(device)
        return [pair if isinstance(pair, StoreError) else next(found) for pair in pairs]

    def _finish(self, device: torch.device, one: _Loaded, two: _Loaded, matches: Matches) -> PairResult:
        digests = one.digest, two.digest
        if not self.semi_dense:
            return PairResult(matches, matches_entry(matches, len(one.features)), digests)
        assert self._weights is not None
        labels = LABELS[self._weights.info.refiner_labels]
        least = self._config.min_confidence
        points = refine(self._refiners[device], one.features, two.features, matches, least, labels)
        return PairResult(points, point_matches_entry(points), digests)

    def _default_threshold(self) -> float:
        """Semi-dense matches are judged by the refiner; features of other tools state no threshold."""
        return -1.0 if self.semi_dense else self._reader.number("xfeat_min_cossim", -1.0, -1.0, 1.0)

    def _refiners_of(self, loaded: Weights) -> dict[torch.device, BlockedRefiner]:
        return {device: BlockedRefiner(loaded, device, self.precision) for device in {*self.devices}}

    def _refining_weights(self) -> Weights:
        """Return those that the features were made with, by their sha256."""
        name, sha256 = (self._reader.attributes.get(f"xfeat_{key}") for key in ("weights", "weights_sha256"))
        try:
            loaded = weights.load(self._config.weights or str(name))
        except WeightsError as error:
            raise WeightsError(f"{error}; {self._reader.path} was made with them: give them as weights=PATH") from None
        if loaded.info.sha256 != sha256:
            raise UsageError(
                f"{self._reader.path} was made with other weights than {loaded.info.path}; give those as weights=PATH, "
                "or extract again"
            )
        return loaded

    def _load_pair(self, pair: Pair) -> tuple[_Loaded, _Loaded] | StoreError:
        try:
            one, two = (self._load(reader, name) for reader, name in zip(self._readers.readers, pair, strict=True))
        except StoreError as error:
            return error
        lengths = [loaded.features.descriptors.shape[1] for loaded in (one, two)]
        if lengths[0] != lengths[1] or (self.semi_dense and lengths[0] != DESCRIPTOR):
            return StoreError(
                f"{self._reader.path}: descriptors of {pair[0]!r} have {lengths[0]} numbers, those of {pair[1]!r} "
                f"{lengths[1]}; extract both in the same way"
            )
        return one, two

    def _load(self, reader: FeaturesReader, name: str) -> _Loaded:
        key = reader, name
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        digest = fingerprint.of_image(reader, name)
        loaded = self._cache[key] = _Loaded(reader.load(name), digest, self._dtype)
        while len(self._cache) > 2 and (
            len(self._cache) > SHARED_IMAGES or sum(one.bytes for one in self._cache.values()) > _CACHE_BYTES
        ):
            self._cache.popitem(last=False)
        return loaded
