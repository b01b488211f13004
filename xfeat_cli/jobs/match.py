"""Matches of a list of image pairs: descriptors are read about once, writing runs behind; resumable."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xfeat_cli.config import MatchConfig, MatcherKind, Precision
from xfeat_cli.errors import PairsError, ProvenanceError, StoreError, UsageError, WeightsError
from xfeat_cli.jobs.lighterglue import LighterGlueMatcher
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.jobs.writing import Writer
from xfeat_cli.matching.nearest import mutual_nearest
from xfeat_cli.matching.refine import refine
from xfeat_cli.model import weights
from xfeat_cli.model.allocation import give_back_freed_memory
from xfeat_cli.model.runtime import DTYPES, Runtime, resolve_device, resolve_precision
from xfeat_cli.pairs import Pair, read_pairs, unique
from xfeat_cli.store import (
    MATCHES,
    SEMI_DENSE_FEATURES,
    SEMI_DENSE_MATCHES,
    FeaturesReader,
    Store,
    check_pair_names,
    matches_entry,
    pair_name,
    point_matches_entry,
)
from xfeat_cli.types import Features, Matches, PointMatches

_CACHE_BYTES = 256 << 20
"""Memory for features that several pairs share."""

_PAIRS_BETWEEN_TRIMS = 64


def match(
    pairs: str | Path | Iterable[Pair],
    features: str | Path = "out.h5",
    output: str | Path = "matches.h5",
    config: MatchConfig | None = None,
    *,
    overwrite: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> Summary:
    """Match pairs of images whose features are in a file, into an HDF5 file that hloc reads.

    pairs: a file of `name0 name1` lines, or pairs of names. config, options: see `MatchConfig`. Sparse features give
    indices (`matches0`, `matching_scores0`); semi-dense ones are refined to coordinates (`keypoints0`, `keypoints1`,
    `scores`). A pair whose image is not in the features file is reported and skipped. A run that was interrupted goes
    on where it stopped; one with other options or features is refused unless `overwrite`.
    Raises UsageError, PairsError, StoreError, WeightsError.
    """
    started = time.monotonic()
    config = _checked(replace(config or MatchConfig(), **options))
    features, output = Path(features), Path(output)
    if output.absolute() == features.absolute():
        raise UsageError(f"{output}: features and matches must be two files; give another --output")
    wanted = read_pairs(Path(pairs)) if isinstance(pairs, (str, Path)) else unique(pairs)
    with FeaturesReader(features) as reader:
        matcher = (
            LighterGlueMatcher(reader, config)
            if config.matcher is MatcherKind.LIGHTERGLUE
            else _Matcher(reader, config)
        )
        known, unknown = _split_known(wanted, reader)
        check_pair_names(known)
        summary = Summary(str(output), device=str(matcher.device), precision=matcher.precision.value)
        tally = Tally(summary, listener)
        kind = SEMI_DENSE_MATCHES if matcher.semi_dense else MATCHES
        with Store.open(output, kind, matcher.provenance(), overwrite=overwrite) as store:
            todo, done = _split_done(known, store, reader)
            ordered = _in_reading_order(todo)
            matcher.plan(ordered)
            tally.start(len(wanted))
            for pair, error in unknown:
                tally.add(_failed(pair, error))
            for pair in done:
                tally.add(Report(" ".join(pair), Status.SKIPPED, details=_names(pair)))
            with Writer() as writer:
                for number, pair in enumerate(ordered, 1):
                    if number % _PAIRS_BETWEEN_TRIMS == 0:
                        give_back_freed_memory()
                    try:
                        found, entry = matcher.match(pair)
                    except StoreError as error:
                        tally.add(_failed(pair, str(error)))
                        continue
                    attributes = {f"digest{i}": _digest(reader, name) for i, name in enumerate(pair)}
                    writer.put(lambda p=pair, e=entry, a=attributes: store.put(pair_name(*p), e, a))  # type: ignore[misc]
                    tally.add(Report(" ".join(pair), Status.OK, len(found), details=_names(pair)))
            if summary.nothing_done:
                store.discard()
            else:
                store.finish()
    summary.seconds = time.monotonic() - started
    return summary


@dataclass(frozen=True)
class _Loaded:
    features: Features
    descriptors: Tensor

    @property
    def bytes(self) -> int:
        return self.features.descriptors.nbytes + self.descriptors.nbytes + self.features.keypoints.nbytes


class _Matcher:
    """Matches pairs of one features file, keeping the features of recent images in memory."""

    def __init__(self, reader: FeaturesReader, config: MatchConfig) -> None:
        self.semi_dense = reader.kind == SEMI_DENSE_FEATURES
        self.device = resolve_device(config.device)
        self.precision = resolve_precision(config.precision, self.device)
        self._dtype = DTYPES[self.precision]
        self._config = config
        self._reader = reader
        self._runtime = self._refining_runtime() if self.semi_dense else None
        self._threshold = self._default_threshold() if config.min_cossim is None else config.min_cossim
        self._cache: OrderedDict[str, _Loaded] = OrderedDict()

    def plan(self, pairs: Iterable[Pair]) -> None:
        """Which pairs are to come makes no difference here: each is matched by itself."""

    def match(self, pair: Pair) -> tuple[Matches | PointMatches, dict[str, Any]]:
        """The matches of a pair and its entry in the file. Raises StoreError for damaged features."""
        one, two = self._load(pair[0]), self._load(pair[1])
        matches = mutual_nearest(one.descriptors, two.descriptors, self._threshold, self._config.ratio, self._dtype)
        if self._runtime is None:
            return matches, matches_entry(matches, len(one.features))
        points = refine(
            self._runtime.refine,
            one.features,
            two.features,
            matches,
            self._config.min_confidence,
            self._runtime.labels,
        )
        return points, point_matches_entry(points)

    def provenance(self) -> dict[str, str | int | float]:
        """What decides the matches: options, weights, and the features' own provenance."""
        made_with = sorted((k, v) for k, v in self._reader.attributes.items() if k != "xfeat_version")
        provenance: dict[str, str | int | float] = {
            "features": hashlib.blake2b(repr(made_with).encode(), digest_size=8).hexdigest(),
            "min_cossim": self._threshold,
            "ratio": self._config.ratio,
            "precision": self.precision.value,
        }
        if self._runtime is not None:
            provenance["min_confidence"] = self._config.min_confidence
            provenance["weights"] = self._runtime.info.name
            provenance["weights_sha256"] = self._runtime.info.sha256
        return provenance

    def _default_threshold(self) -> float:
        """Semi-dense matches are judged by the refiner; features of other tools state no threshold."""
        return -1.0 if self.semi_dense else float(self._reader.attributes.get("xfeat_min_cossim", -1.0))

    def _refining_runtime(self) -> Runtime:
        """The refiner that belongs to the features: of the same weights, by their sha256."""
        name, sha256 = (self._reader.attributes.get(f"xfeat_{key}") for key in ("weights", "weights_sha256"))
        try:
            loaded = weights.load(self._config.weights or str(name))
        except WeightsError as error:
            raise WeightsError(f"{error}; {self._reader.path} was made with them: give them with --weights") from None
        if loaded.info.sha256 != sha256:
            raise UsageError(
                f"{self._reader.path} was made with other weights than {loaded.info.path}; give those with --weights, "
                "or extract again"
            )
        runtime = Runtime(loaded, self._config.device, self._config.precision)
        runtime.require_refiner()
        return runtime

    def _load(self, name: str) -> _Loaded:
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name]
        features = self._reader.load(name)
        loaded = _Loaded(features, torch.from_numpy(features.descriptors).to(self.device).float())
        self._cache[name] = loaded
        while sum(one.bytes for one in self._cache.values()) > _CACHE_BYTES and len(self._cache) > 2:
            self._cache.popitem(last=False)
        return loaded


def _checked(config: MatchConfig) -> MatchConfig:
    try:
        config = replace(config, precision=Precision(config.precision), matcher=MatcherKind(config.matcher))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if config.min_cossim is not None and not -1 <= config.min_cossim <= 1:
        raise UsageError(f"min_cossim is {config.min_cossim}; it must be in [-1, 1], -1 = no threshold")
    if not 0 < config.ratio <= 1:
        raise UsageError(f"ratio is {config.ratio}; it must be in (0, 1], 1 = no test")
    if not 0 <= config.min_confidence <= 1:
        raise UsageError(f"min_confidence is {config.min_confidence}; it must be in [0, 1]")
    if not 0 <= config.min_score < 1:
        raise UsageError(f"min_score is {config.min_score}; it must be in [0, 1)")
    return config


def _split_known(pairs: list[Pair], reader: FeaturesReader) -> tuple[list[Pair], list[tuple[Pair, str]]]:
    known, unknown = [], []
    for pair in pairs:
        missing = next((name for name in pair if name not in reader), None)
        if missing is None:
            known.append(pair)
        else:
            unknown.append((pair, f"{missing} is not in {reader.path}; extract it, or take it out of the pairs"))
    if not known:
        names = sorted({error.split(" is not in ")[0] for _, error in unknown})
        raise PairsError(
            f"no pair can be matched: {', '.join(names[:3])}{' …' if len(names) > 3 else ''} not in {reader.path}; "
            "names must be those that `xfeat inspect` shows"
        )
    return known, unknown


def _split_done(pairs: list[Pair], store: Store, reader: FeaturesReader) -> tuple[list[Pair], list[Pair]]:
    """Which pairs are still to do, and which the store holds, either way round. Refuses those of changed features."""
    stored = store.names()
    todo, done = [], []
    for pair in pairs:
        names = next((p for p in (pair, pair[::-1]) if pair_name(*p) in stored), None)
        if names is None:
            todo.append(pair)
            continue
        done.append(pair)
        attributes = store.attributes(pair_name(*names))
        for i, name in enumerate(names):
            if attributes.get(f"digest{i}") != _digest(reader, name):
                raise ProvenanceError(
                    f"{store.path} holds matches of another version of {name}; use --overwrite to start again"
                )
    return todo, done


def _in_reading_order(pairs: list[Pair]) -> list[Pair]:
    """Pairs that share an image stand together; the partners run up and down in turn, so that the last stay cached."""
    partners: OrderedDict[str, list[Pair]] = OrderedDict()
    for pair in pairs:
        partners.setdefault(pair[0], []).append(pair)
    ordered = []
    for i, group in enumerate(partners.values()):
        ordered += group[:: 1 if i % 2 == 0 else -1]
    return ordered


def _digest(reader: FeaturesReader, name: str) -> str:
    """What the image was when its features were made; empty for features of other tools."""
    return str(reader.entry_attributes(name).get("image_digest", ""))


def _names(pair: Pair) -> dict[str, str]:
    return {"image0": pair[0], "image1": pair[1]}


def _failed(pair: Pair, error: str) -> Report:
    return Report(" ".join(pair), Status.FAILED, error=error, details=_names(pair))
