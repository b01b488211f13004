"""Pairs of images matched by LighterGlue: what `jobs.match` uses instead of nearest neighbours."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from functools import lru_cache

from xfeat_cli.config import MatchConfig, Precision
from xfeat_cli.errors import StoreError, UsageError
from xfeat_cli.jobs.matchers.base import PairResult
from xfeat_cli.jobs.matchers.readers import PairReaders
from xfeat_cli.machine.devices import resolve_device
from xfeat_cli.matching.lighterglue import BATCH_SIZE, LighterGlue
from xfeat_cli.model import weights
from xfeat_cli.model.download import MATCHER_WEIGHTS
from xfeat_cli.model.lighterglue_state import DESCRIPTOR
from xfeat_cli.store.layout import SEMI_DENSE_FEATURES, matches_entry
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import Features, Pair

_CACHED_IMAGES = 128


class LighterGlueMatcher:
    """Matches pairs; pairs to come that have as many features share a batch.

    Raises UsageError for semi-dense features, options that belong to nearest neighbours and a missing kornia, and
    WeightsError.
    """

    semi_dense = False
    precision = Precision.FP32
    """As the authors run it; on CUDA kornia computes attention, and only that, in fp16."""

    def __init__(self, readers: PairReaders, config: MatchConfig) -> None:
        _check(readers)
        self.devices = (resolve_device(config.device),)
        self._readers = readers
        self._min_score = config.min_score
        loaded = weights.load_matcher(config.weights or MATCHER_WEIGHTS)
        self._info = loaded.info
        self._network = LighterGlue(loaded.state, self.devices[0], config.min_score, BATCH_SIZE[self.devices[0].type])
        self._to_come: deque[Pair] = deque()
        self._load = lru_cache(_CACHED_IMAGES)(_read)

    def match(self, pairs: Iterable[Pair]) -> Generator[tuple[Pair, PairResult | StoreError], None, None]:
        """Yield each pair, in the order given, with its matches, or the error for features that cannot be matched."""
        self._to_come = deque(pairs)
        while self._to_come:
            pair = self._to_come.popleft()
            try:
                features0, features1 = self._load_pair(pair)
            except StoreError as error:
                yield pair, error
                continue
            counts = len(features0), len(features1)
            batch = [pair, *self._alike(counts)]
            found = self._network.match([*map(self._load_pair, batch)])
            for one, matches in zip(batch, found, strict=True):
                yield one, PairResult(matches, matches_entry(matches, counts[0]), self._readers.digests(one))

    def provenance(self) -> dict[str, str | int | float]:
        """Return what decides the matches: options, weights, and the features' own provenance."""
        return {
            **self._readers.provenance(),
            "matcher": "lighterglue",
            "min_score": self._min_score,
            "pruning": self._network.pruning,
            "weights": self._info.name,
            "weights_sha256": self._info.sha256,
        }

    def _alike(self, counts: tuple[int, int]) -> list[Pair]:
        """Return the next pairs of the plan, as long as their images have as many features and a batch takes them."""
        alike: list[Pair] = []
        while self._to_come and len(alike) + 1 < self._network.batch_size:
            following = self._to_come[0]
            try:
                if (*map(len, self._load_pair(following)),) != counts:
                    break
            except StoreError:  # it is reported when its turn comes
                break
            alike.append(self._to_come.popleft())
        return alike

    def _load_pair(self, pair: Pair) -> tuple[Features, Features]:
        reader0, reader1 = self._readers.readers
        return self._load(reader0, pair[0]), self._load(reader1, pair[1])


def _read(reader: FeaturesReader, name: str) -> Features:
    features = reader.load(name)
    if len(features) and features.descriptors.shape[1] != DESCRIPTOR:
        raise StoreError(
            f"{reader.path}: the descriptors of {name!r} have {features.descriptors.shape[1]} numbers; "
            f"LighterGlue matches XFeat's, which have {DESCRIPTOR}"
        )
    if min(features.image_size) <= 0:
        raise StoreError(f"{reader.path}: the size of {name!r} is not stored, and LighterGlue needs it")
    return features


def _check(readers: PairReaders) -> None:
    if readers.kind == SEMI_DENSE_FEATURES:
        raise UsageError(
            f"{readers.readers[1].path} holds semi-dense features, which LighterGlue cannot match: "
            "use matcher=nearest, or extract with mode=sparse"
        )
