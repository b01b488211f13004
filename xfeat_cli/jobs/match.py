"""Matches of a list of image pairs: several at once, features read about once, written behind the work; resumable."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from xfeat_cli.config import MatchConfig
from xfeat_cli.errors import PairsError, ProvenanceError, StoreError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.matchers import MATCHERS
from xfeat_cli.jobs.matchers.nearest import SHARED_IMAGES
from xfeat_cli.jobs.ordering import in_squares
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.jobs.writing import Writer, conclude
from xfeat_cli.machine.memory import give_back_freed_memory
from xfeat_cli.pairing.lists import read_pairs, unique
from xfeat_cli.photo_names import KnownNames
from xfeat_cli.store.layout import IMAGES_ATTRIBUTE, MATCHES, SEMI_DENSE_MATCHES
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
        overwrite: start again; without it a file of other options or features is refused.
        renew: keep the output to these pairs: entries of others are removed, those of changed images made again.
        listener: told of each pair.
        **options: fields of `MatchConfig`, in place of those of `config`.

    Returns:
        What was done, with each pair that failed and the reason.

    Raises:
        UsageError: the options cannot work together.
        PairsError: the list is malformed, or no pair can be matched.
        StoreError: a file cannot be read or written.
        WeightsError: the weights are missing or damaged.
    """
    started = time.monotonic()
    config = replace(config or MatchConfig(), **options)
    features, output = Path(features), Path(output)
    with FeaturesReader(features) as reader:
        wanted = _wanted(pairs, reader)
        matcher = MATCHERS[config.matcher](reader, config)
        known, unknown = _split_known(wanted, reader)
        colliding = _collisions(known)
        summary = Summary(str(output), device=",".join(map(str, matcher.devices)), precision=matcher.precision.value)
        tally = Tally(summary, listener)
        kind = SEMI_DENSE_MATCHES if matcher.semi_dense else MATCHES
        inputs = [features, *([Path(pairs)] if isinstance(pairs, (str, Path)) else [])]
        with Store.open(output, kind, matcher.provenance(), overwrite=overwrite, inputs=inputs) as store:
            if renew:
                _renew(known, store, reader, summary)
            todo, done = _split_done([pair for pair in known if pair not in colliding], store, reader)
            tally.start(len(wanted))
            for pair, error in [*unknown, *colliding.items()]:
                tally.add(_failed(pair, error))
            for pair in colliding:
                _forget(pair, store)
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


def _wanted(pairs: str | Path | Iterable[Pair], reader: FeaturesReader) -> list[Pair]:
    if not isinstance(pairs, (str, Path)):
        return unique(pair for pair in pairs if pair[0] != pair[1])
    return read_pairs(Path(pairs), KnownNames(reader.names(), reader.attributes.get(IMAGES_ATTRIBUTE)))


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


def _collisions(pairs: list[Pair]) -> dict[Pair, str]:
    """Behave as `colliding_pairs`. Raises PairsError when every pair collides."""
    colliding = colliding_pairs(pairs)
    if len(colliding) == len(pairs):
        raise PairsError(f"no pair can be matched: {colliding[pairs[0]]}")
    return colliding


def _forget(pair: Pair, store: Store) -> None:
    """Remove what an earlier run stored, before another pair laid claim to its entry."""
    for names in (pair, pair[::-1]):
        if pair_name(*names) in store:
            store.remove(pair_name(*names))


def _split_done(pairs: list[Pair], store: Store, reader: FeaturesReader) -> tuple[list[Pair], list[Pair]]:
    """Return which pairs are still to do, and which the store holds, either way round. Refuses those of changed
    features.
    """
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
            if attributes.get(f"digest{i}") != fingerprint.of_image(reader, name):
                raise ProvenanceError(
                    f"{store.path} holds matches of another version of {name}; use overwrite=True to start again"
                )
    return todo, done


def _renew(pairs: list[Pair], store: Store, reader: FeaturesReader, summary: Summary) -> None:
    """Remove the entries that are of none of the pairs, or of images that have changed."""
    images = {pair_name(*names): names for pair in pairs for names in (pair, pair[::-1])}
    for entry in sorted(store.names()):
        if entry not in images:
            summary.removed.append(entry)
        elif _has_changed(images[entry], entry, store, reader):
            summary.renewed.append(entry)
    for entry in (*summary.removed, *summary.renewed):
        store.remove(entry)


def _has_changed(names: Pair, entry: str, store: Store, reader: FeaturesReader) -> bool:
    attributes = store.attributes(entry)
    return any(attributes.get(f"digest{i}") != fingerprint.of_image(reader, name) for i, name in enumerate(names))


def in_reading_order(pairs: list[Pair]) -> list[Pair]:
    """Order pairs in squares of so few images that all of them stay in memory: each is read once a square, not
    once a pair.
    """
    return in_squares(pairs, SHARED_IMAGES // 2)


def _names(pair: Pair) -> dict[str, str]:
    return {"image0": pair[0], "image1": pair[1]}


def _failed(pair: Pair, error: str) -> Report:
    return Report(" ".join(pair), Status.FAILED, error=error, details=_names(pair))
