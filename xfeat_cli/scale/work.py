"""What a worker does with one piece of a job: the very same jobs as on one machine, on one core or one GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xfeat_cli.config import ExtractConfig, MatchConfig
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.match import match
from xfeat_cli.jobs.progress import Report


class Work(Protocol):
    """A job's options, as they travel to the workers. kind: `features` or `matches`."""

    @property
    def kind(self) -> str: ...
    @property
    def config(self) -> ExtractConfig | MatchConfig: ...

    def run(self, items: Sequence[str], piece: Path) -> list[Report]:
        """Make the file of a piece, or go on with it, and return a report of each item."""


@dataclass(frozen=True)
class ExtractWork:
    """root: the folder that image names are relative to, as every worker sees it."""

    root: Path
    config: ExtractConfig
    masks: Path | None = None
    overwrite: bool = False

    kind = "features"

    def run(self, items: Sequence[str], piece: Path) -> list[Report]:
        collected = _Collector()
        extract(
            self.root,
            piece,
            self.config,
            image_list=items,
            masks=self.masks,
            workers=1,
            overwrite=self.overwrite,
            listener=collected,
        )
        return collected.reports


@dataclass(frozen=True)
class MatchWork:
    """features: the features file, as every worker sees it. An item is `name0`, a tab, `name1`."""

    features: Path
    config: MatchConfig
    overwrite: bool = False

    kind = "matches"

    def run(self, items: Sequence[str], piece: Path) -> list[Report]:
        collected = _Collector()
        pairs = [(one, other) for one, _, other in (item.partition("\t") for item in items)]
        match(pairs, self.features, piece, self.config, overwrite=self.overwrite, listener=collected)
        return collected.reports


class _Collector:
    def __init__(self) -> None:
        self.reports: list[Report] = []

    def start(self, total: int) -> None:
        pass

    def update(self, report: Report) -> None:
        self.reports.append(report)
