"""What a stage is, and what the stages of one run share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from xfeat_cli.errors import ProvenanceError
from xfeat_cli.jobs.progress import Listener, Summary
from xfeat_cli.jobs.record import Entry, Record
from xfeat_cli.jobs.summary import SfmSummary
from xfeat_cli.sfm.config import SfmConfig

Listeners = Callable[[str], Listener | None]
"""Asked for a listener at the start of each stage, by the stage's name."""

Result = TypeVar("Result", bound=Summary)


@dataclass
class Workspace:
    """One run of one folder.

    images: folder of the photographs. folder: where the stages keep their files. overwrite: make everything again.
    keypoints, matches: the files of keypoints and of their matches that the next stage starts from; a stage that makes
    better ones puts its own here.
    """

    images: Path
    folder: Path
    config: SfmConfig
    record: Record
    summary: SfmSummary
    overwrite: bool = False
    listener: Listener | None = None
    keypoints: Path = field(init=False)
    matches: Path = field(init=False)

    def __post_init__(self) -> None:
        self.features = self.folder / "features.h5"
        self.pairs = self.folder / "pairs.txt"
        self.database = self.folder / "database.db"
        self.models = self.folder / "sparse"
        self.keypoints = self.features
        self.matches = self.folder / "matches.h5"


@dataclass(frozen=True)
class Outcome:
    """What a stage did. result: numbers by name. problems: a line for each image or pair that was left out."""

    result: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    reused: bool = False


class Stage(ABC):
    """A step of a reconstruction; it keeps its files in the workspace and does only what is missing."""

    name: ClassVar[str]

    def applies(self, work: Workspace) -> bool:
        """Whether the config asks for this stage."""
        return True

    @abstractmethod
    def run(self, work: Workspace) -> Outcome:
        """Make or complete the stage's files. Raises XFeatError when the run cannot go on."""


class KeyedStage(Stage):
    """A stage that is made whole again when its key or its files have changed."""

    @abstractmethod
    def key(self, work: Workspace) -> str:
        """Digest of the stage's options and of its inputs' contents."""

    @abstractmethod
    def files(self, work: Workspace) -> list[Path]:
        """What the stage makes."""

    @abstractmethod
    def make(self, work: Workspace) -> Outcome:
        """Make the stage's files, in place of any that are there."""

    def hand_on(self, work: Workspace, entry: Entry) -> None:
        """Tell the workspace what later stages need."""

    def run(self, work: Workspace) -> Outcome:
        key, entry = self.key(work), work.record.entry(self.name)
        if entry is not None and entry.key == key and all(path.exists() for path in self.files(work)):
            outcome = Outcome(entry.result, entry.problems, reused=True)
        else:
            work.record.forget(self.name)
            outcome = self.make(work)
            entry = Entry(key, outcome.result, outcome.problems)
            work.record.put(self.name, entry)
        self.hand_on(work, entry)
        return outcome


def resumed(job: Callable[[bool], Result], work: Workspace) -> Result:
    """Run a job that goes on with its own file; where that was made with other options or of other images, anew."""
    if work.overwrite:
        return job(True)
    try:
        return job(False)
    except ProvenanceError:
        return job(True)


def outcome_of(summary: Summary, counted: str) -> Outcome:
    """The outcome of a job that makes an entry for each image or pair; `counted`: what its count is of."""
    result = {counted: summary.count, "done": summary.done, "already_there": summary.skipped}
    return Outcome(result, [reason for _, reason in summary.failures], reused=summary.done == 0)
