"""The pieces of a features or matches file → one file; streaming, so that memory holds one entry at a time."""

from __future__ import annotations

import time
from pathlib import Path

from xfeat_cli.errors import ProvenanceError, StoreError, UsageError
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.store.pieces import PieceFolder, pieces_folder
from xfeat_cli.store.reader import EntriesReader
from xfeat_cli.store.writer import Store

_SHOWN = 5


def merge(
    output: str | Path,
    pieces: str | Path | None = None,
    *,
    allow_missing: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Summary:
    """Make one file of the pieces that shards wrote; the pieces stay.

    A run that was interrupted goes on where it stopped. The result equals that of one machine, datasets and attributes.

    Args:
        output: the features or matches file to write.
        pieces: the folder of the pieces; None = `OUTPUT.pieces`.
        allow_missing: leave out the pieces that are not finished, instead of refusing.
        overwrite: start again.
        listener: told of each piece.

    Returns:
        What was merged, with the pieces that are missing or damaged.

    Raises:
        ProvenanceError: two pieces were made with different options, weights or images; each difference is named.
        StoreError: the folder holds no pieces, or pieces are missing.
    """
    started = time.monotonic()
    output = Path(output)
    folder = pieces_folder(output) if pieces is None else Path(pieces)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of pieces; make them with shard=I/N, for every I from 1 to N")
    finished, missing = PieceFolder(folder).pieces()
    if missing and not allow_missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise StoreError(
            f"{folder}: {len(missing)} of {len(finished) + len(missing)} pieces are not finished: "
            f"{', '.join(missing[:_SHOWN])}{more}; run their shards, or use allow_missing=True"
        )
    if not finished:
        raise StoreError(f"{folder} holds no finished piece yet; run the shards first")
    summary = Summary(str(output), device="cpu", precision="as the pieces")
    tally = Tally(summary, listener)
    with EntriesReader(finished[0]) as first:
        kind, provenance = first.kind, first.provenance
    tally.start(len(finished) + len(missing))
    for name in missing:
        tally.add(Report(name, Status.FAILED, error=f"{folder / name} is not finished; it was left out"))
    with Store.open(output, kind, provenance, overwrite=overwrite) as store:
        for path in finished:
            with EntriesReader(path) as piece:
                _check_same(path, piece, finished[0], kind, provenance)
                new = 0
                for name in piece.names():
                    if name not in store:
                        store.put(name, *piece.load(name))
                        new += 1
            tally.add(Report(path.name, Status.OK if new else Status.SKIPPED, new))
        store.finish()
    summary.seconds = time.monotonic() - started
    return summary


def _check_same(
    path: Path, piece: EntriesReader, other: Path, kind: str, provenance: dict[str, str | int | float]
) -> None:
    found = {"kind": piece.kind, **piece.provenance}
    expected = {"kind": kind, **provenance}
    differences = [
        f"{key} {found.get(key, 'none')}, there {expected.get(key, 'none')}"
        for key in sorted({*found, *expected})
        if found.get(key) != expected.get(key)
    ]
    if differences:
        raise ProvenanceError(
            f"{path} differs from {other.name}: {'; '.join(differences)}; remove it and run its shard again"
        )
