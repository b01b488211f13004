"""Files of matches, alone and against the features that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xfeat_cli.doctor.features import half_written
from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.doctor.graph import examine_graph
from xfeat_cli.errors import StoreError
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import Matches, Pair

_INT16_MOST = 32_767
_NEAR = 0.9
"""Share of the largest int16 from which the next, larger image would overflow."""


def examine_matches(path: Path, features: Path | None) -> list[Finding]:
    found = half_written(path)
    with MatchesReader(path) as reader:
        found += _overflow(path, reader)
        if features is not None:
            found += _against(path, reader, features)
    return found


def _overflow(path: Path, reader: MatchesReader) -> list[Finding]:
    if reader.kind != "matches":
        return []
    narrow = [name for name in reader.names() if reader.dtype(name, "matches0") == np.int16]
    near = [name for name in narrow if reader.largest(name) > _NEAR * _INT16_MOST]
    if not near:
        return []
    return [
        Finding(
            Severity.ERROR,
            "int16-overflow",
            str(path),
            f"matches0 is int16, which ends at {_INT16_MOST:,}, and {len(near)} entries come near it ({some(near)}): "
            "matches of later keypoints are lost or wrong",
            "store int32, or keep at most 32,767 keypoints an image",
        )
    ]


def _against(path: Path, reader: MatchesReader, features: Path) -> list[Finding]:
    beyond, other, bad, empty, matched = [], [], [], [], []
    with KeypointsReader(features) as keypoints:
        names = keypoints.names()
        resolved = resolve(reader.names(), names)
        for entry, pair in resolved.pairs.items():
            try:
                matches = reader.load(*pair)
                counts = [keypoints.count(name) for name in pair]
            except StoreError as error:
                bad.append(str(error))
                continue
            if len(matches):
                matched.append(pair)
            else:
                empty.append(" ".join(pair))
            if isinstance(matches, Matches) and len(matches) and (matches.indices.max(axis=0) >= counts).any():
                beyond.append(" ".join(pair))
            elif _is_of_another_run(reader, entry, keypoints, pair):
                other.append(" ".join(pair))
    checks = (
        (bad, "damaged", Severity.ERROR, "entries are damaged", "match these pairs again"),
        (resolved.unknown, "unknown-images", Severity.ERROR, f"entries are of images that {features} does not hold",
         "give the features that were matched"),
        ([*resolved.ambiguous], "names-collide", Severity.ERROR, "entries could be of several images", "rename one"),
        (beyond, "other-run", Severity.ERROR, f"pairs refer to keypoints that {features} does not hold",
         "they are of another extraction: match again"),
        (other, "other-run", Severity.ERROR, f"pairs are of other versions of their images than {features}",
         "match again"),
        (empty, "no-match", Severity.NOTE, "pairs have no match at all", "they cost time and give nothing"),
    )  # fmt: skip
    found = [
        Finding(severity, check, str(path), f"{len(those)} {cause}: {some(those)}", remedy)
        for those, check, severity, cause, remedy in checks
        if those
    ]
    return found + examine_graph(str(path), names, matched, "matched")


def _is_of_another_run(reader: MatchesReader, entry: str, keypoints: KeypointsReader, pair: Pair) -> bool:
    about = reader.entry_attributes(entry)
    stated = {about.get("digest0", ""), about.get("digest1", "")}
    now = {keypoints.entry_attributes(name).get("image_digest", "") for name in pair}
    return "" not in stated | now and stated != now
