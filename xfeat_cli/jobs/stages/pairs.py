"""Names and features → pairs.txt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from xfeat_cli.errors import PairsError, SfmError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.record import key_of
from xfeat_cli.jobs.stages.base import KeyedStage, Outcome, Workspace
from xfeat_cli.pairing.kinds import PairSources, make_pairs
from xfeat_cli.pairing.lists import can_be_listed, read_pairs, write_pairs
from xfeat_cli.sfm.tracks import read_posed
from xfeat_cli.store.names import colliding_names
from xfeat_cli.store.reader import KeypointsReader
from xfeat_cli.types import Pair


class Pairs(KeyedStage):
    name, names = "pairs", ("pairs.txt",)

    def key(self, work: Workspace) -> str:
        config = work.config.pairing
        with KeypointsReader(work.features) as features:
            content = fingerprint.of_content(features)
        given = [path for path in (config.listed, config.positions) if path is not None]
        if config.model is not None:
            given += sorted(config.model.glob("*.bin")) + sorted(config.model.glob("*.txt"))
        files = {str(path): path.stat().st_mtime_ns for path in given if path.is_file()}
        return key_of(features=content, options=asdict(config), files=files)

    def make(self, work: Workspace) -> Outcome:
        with KeypointsReader(work.features) as reader:
            stored = reader.names()
        names, problems = _usable(stored)
        if len(names) < 2:
            raise SfmError(f"no two images of {work.images} can be paired: {problems[0]}")
        usable = set(names)
        # What looks alike comes from the whole features file.
        made = (pair for pair in _made(work, names, problems) if usable.issuperset(pair))
        count = write_pairs(work.pairs, made)
        if not count:
            raise PairsError(f"no two images of {work.images} make a pair of the kind that is asked for")
        return Outcome({"pairs": count}, problems)


def _made(work: Workspace, names: list[str], problems: list[str]) -> Iterable[Pair]:
    config = work.config.pairing
    if config.listed is not None:
        return read_pairs(config.listed)
    posed = read_posed(config.model) if config.model is not None else None
    return make_pairs(PairSources(names, work.features, work.images, posed, problems), config)


def _usable(stored: list[str]) -> tuple[list[str], list[str]]:
    """Return the names that lists of pairs and matches files can hold, and a line for each of the others."""
    names = [name for name in stored if can_be_listed(name)]
    problems = [f"{name!r} cannot stand in a list of pairs; rename the file" for name in stored if name not in names]
    for alike in colliding_names(names):
        problems.append(
            f"{' and '.join(map(repr, alike))} were left out: in a matches file, where hloc writes - for /, they "
            "are one name; rename one of them"
        )
        names = [name for name in names if name not in alike]
    return names, problems
