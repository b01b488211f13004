"""Matches of a list of image pairs: several at once, features read about once, written behind the work; resumable."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from xfeat_cli.config import MatchConfig
from xfeat_cli.errors import PairsError, ProvenanceError, StoreError
from xfeat_cli.jobs.matchers import MATCHERS
from xfeat_cli.jobs.matchers.nearest import SHARED_IMAGES
from xfeat_cli.jobs.matchers.readers import PairReaders
from xfeat_cli.jobs.ordering import in_squares
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.jobs.writing import Writer, conclude
from xfeat_cli.machine.memory import give_back_freed_memory
from xfeat_cli.pairing.lists import read_pairs, unique
from xfeat_cli.store.layout import MATCHES, SEMI_DENSE_MATCHES
from xfeat_cli.store.names import colliding_pairs, pair_name
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Pair

_PAIRS_BETWEEN_TRIMS = 64


def match(
    pairs: str | Path | Iterable[Pair],
    features: str | Path = "out.h5",
    output: str | Path = "matches.h5",
    config: MatchConfig | None = None,
    *,
    features0: str | Path | None = None,
    overwrite: bool = False,
    renew: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> Summary:
    """Match pairs of images whose features are in a file, into an HDF5 file that hloc reads.

    Sparse features give indices (`matches0`, `matching_scores0`). Semi-dense ones are refined to coordinates
    (`keypoints0`, `keypoints1`, `scores`). A pair whose image is not in the features file, or whose entry in the output
    another pair would share, is reported and skipped. A run that was interrupted goes on where it stopped.

    Args:
        pairs: a file of `name0 name1` lines, or pairs of names.
        features: the features file.
        output: the matches file to write.
        config: how features are matched.
        features0: another features file, which the first image of each pair is looked up in, and the second in
            `features`; (a, b) and (b, a) are two pairs then, and an image may be paired with one of the same name.
        overwrite: start again; without it a file of other options or features is refused.
        renew: keep the output to these pairs: entries of others are removed, those of changed images made again.
        listener: told of each pair.
        **options: fields of `MatchConfig`, in place of those of `config`.

    Returns:
        What was done, with each pair that failed and the reason.

    Raises:
        UsageError: the options, or the two features files, cannot work together.
        PairsError: the list is malformed, or no pair can be matched.
        StoreError: a file cannot be read or written.
        WeightsError: the weights are missing or damaged.
    """
    started = time.monotonic()
    config = replace(config or MatchConfig(), **options)
    features, output = Path(features), Path(output)
    inputs = [features, *([Path(features0)] if features0 is not None else [])]
    with ExitStack() as files:
        readers = PairReaders(*(files.enter_context(FeaturesReader(path)) for path in inputs))
        wanted = _wanted(pairs, readers)
        matcher = MATCHERS[config.matcher](readers, config)
        known, unknown = _split_known(wanted, readers)
        colliding = _collisions(known, readers.ordered)
        summary = Summary(str(output), device=",".join(map(str, matcher.devices)), precision=matcher.precision.value)
        tally = Tally(summary, listener)
        kind = SEMI_DENSE_MATCHES if matcher.semi_dense else MATCHES
        if isinstance(pairs, (str, Path)):
            inputs.append(Path(pairs))
        with Store.open(output, kind, matcher.provenance(), overwrite=overwrite, inputs=inputs) as store:
            if renew:
                _renew(known, store, readers, summary)
            todo, done = _split_done([pair for pair in known if pair not in colliding], store, readers)
            tally.start(len(wanted))
            for pair, error in [*unknown, *colliding.items()]:
                tally.add(_failed(pair, error))
            for pair in colliding:
                _forget(pair, store, readers)
            for pair in done:
                tally.add(Report(" ".join(pair), Status.SKIPPED, details=_names(pair)))
            with Writer() as writer, closing(matcher.match(in_reading_order(todo))) as matched:
                for number, (pair, found) in enumerate(matched, 1):
                    if number % _PAIRS_BETWEEN_TRIMS == 0:
                        give_back_freed_memory()
                    if isinstance(found, StoreError):
                        tally.add(_failed(pair, str(found)))
                        continue
                    attributes = {f"digest{i}": digest for i, digest in enumerate(found.digests)}
                    writer.put(lambda p=pair, f=found, a=attributes: store.put(pair_name(*p), f.entry, a))  # type: ignore[misc]
                    tally.add(Report(" ".join(pair), Status.OK, len(found.matches), details=_names(pair)))
            conclude(store, summary)
    summary.seconds = time.monotonic() - started
    return summary


def _wanted(pairs: str | Path | Iterable[Pair], readers: PairReaders) -> list[Pair]:
    ordered = readers.ordered
    if not isinstance(pairs, (str, Path)):
        return unique((pair for pair in pairs if ordered or pair[0] != pair[1]), ordered=ordered)
    return read_pairs(Path(pairs), readers.known, ordered=ordered)


def _split_known(pairs: list[Pair], readers: PairReaders) -> tuple[list[Pair], list[tuple[Pair, str]]]:
    known, unknown = [], []
    absent: dict[Path, set[str]] = {}
    for pair in pairs:
        missing = readers.missing(pair)
        if missing is None:
            known.append(pair)
        else:
            name, path = missing
            absent.setdefault(path, set()).add(name)
            unknown.append((pair, f"{name} is not in {path}; extract it, or take it out of the pairs"))
    if not known:
        listed = "; ".join(
            f"{', '.join(sorted(names)[:3])}{' …' if len(names) > 3 else ''} not in {path}"
            for path, names in absent.items()
        )
        first, second = (reader.path for reader in readers.readers)
        sides = f" (first images belong in features0={first}, second in features={second})" if readers.ordered else ""
        raise PairsError(f"no pair can be matched: {listed}{sides}; names must be those that `xfeat inspect` shows")
    return known, unknown


def _collisions(pairs: list[Pair], ordered: bool) -> dict[Pair, str]:
    """Behave as `colliding_pairs`. Raises PairsError when every pair collides."""
    colliding = colliding_pairs(pairs, ordered=ordered)
    if len(colliding) == len(pairs):
        raise PairsError(f"no pair can be matched: {colliding[pairs[0]]}")
    return colliding


def _forget(pair: Pair, store: Store, readers: PairReaders) -> None:
    """Remove what an earlier run stored, before another pair laid claim to its entry."""
    for names in readers.orders(pair):
        if pair_name(*names) in store:
            store.remove(pair_name(*names))


def _split_done(pairs: list[Pair], store: Store, readers: PairReaders) -> tuple[list[Pair], list[Pair]]:
    """Return which pairs are still to do, and which the store holds. Refuses those of changed features."""
    stored = store.names()
    todo, done = [], []
    for pair in pairs:
        names = next((p for p in readers.orders(pair) if pair_name(*p) in stored), None)
        if names is None:
            todo.append(pair)
            continue
        done.append(pair)
        attributes = store.attributes(pair_name(*names))
        for i, (name, digest) in enumerate(zip(names, readers.digests(names), strict=True)):
            if attributes.get(f"digest{i}") != digest:
                raise ProvenanceError(
                    f"{store.path} holds matches of another version of {name}; use overwrite=True to start again"
                )
    return todo, done


def _renew(pairs: list[Pair], store: Store, readers: PairReaders, summary: Summary) -> None:
    """Remove the entries that are of none of the pairs, or of images that have changed."""
    images = {pair_name(*names): names for pair in pairs for names in readers.orders(pair)}
    for entry in sorted(store.names()):
        if entry not in images:
            summary.removed.append(entry)
        elif _has_changed(images[entry], entry, store, readers):
            summary.renewed.append(entry)
    for entry in (*summary.removed, *summary.renewed):
        store.remove(entry)


def _has_changed(names: Pair, entry: str, store: Store, readers: PairReaders) -> bool:
    attributes = store.attributes(entry)
    return any(attributes.get(f"digest{i}") != digest for i, digest in enumerate(readers.digests(names)))


def in_reading_order(pairs: list[Pair]) -> list[Pair]:
    """Order pairs in squares of so few images that all of them stay in memory: each is read once a square, not
    once a pair.
    """
    return in_squares(pairs, SHARED_IMAGES // 2)


def _names(pair: Pair) -> dict[str, str]:
    return {"image0": pair[0], "image1": pair[1]}


def _failed(pair: Pair, error: str) -> Report:
    return Report(" ".join(pair), Status.FAILED, error=error, details=_names(pair))
