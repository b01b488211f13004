"""What a stage is, and what the stages of one run share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from xfeat_cli.errors import ProvenanceError, StoreError
from xfeat_cli.jobs.progress import Listener, Summary
from xfeat_cli.jobs.record import Record
from xfeat_cli.jobs.summary import SfmSummary
from xfeat_cli.sfm.config import SfmConfig
from xfeat_cli.store.layout import partial_path
from xfeat_cli.store.reader import open_hdf5

logger = logging.getLogger(__name__)

Listeners = Callable[[str], Listener | None]
"""Asked for a listener at the start of each stage, by the stage's name."""

Result = TypeVar("Result", bound=Summary)

_NAMED = 3


@dataclass
class Workspace:
    """One run of one folder.

    images: folder of the photographs. video: what they are the frames of, if anything. listed: names in the folder that
    are meant, None = all. masks: folder of masks. workers: photographs that are read at once. folder: where the stages
    keep their files. overwrite: make everything again.
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
    video: Path | None = None
    listed: tuple[str, ...] | None = None
    masks: Path | None = None
    workers: int | None = None
    keypoints: Path = field(init=False)
    matches: Path = field(init=False)

    def __post_init__(self) -> None:
        self.features = self.folder / "features.h5"
        self.pairs = self.folder / "pairs.txt"
        self.database = self.folder / "database.db"
        self.models = self.folder / "sparse"
        self.keypoints = self.features
        self.matches = self.folder / "matches.h5"

    def tell(self, note: str) -> None:
        """Let the user know, in one line, why something is made again."""
        self.summary.notes.append(note)
        logger.warning(note)


@dataclass(frozen=True)
class Outcome:
    """What a stage did. result: numbers by name. problems: a line for each image or pair that was left out."""

    result: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    reused: bool = False


class Stage(ABC):
    """A step of a reconstruction; it keeps its files in the workspace and does only what is missing.

    names: what it makes within the folder; nothing of these names is replaced in a folder that is not a run's.
    """

    name: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def applies(self, work: Workspace) -> bool:
        """Return whether the config asks for this stage."""
        return True

    @abstractmethod
    def run(self, work: Workspace) -> Outcome:
        """Make or complete the stage's files. Raises XFeatError when the run cannot go on."""


class KeyedStage(Stage):
    """A stage that is made whole again when its key or its files have changed."""

    @abstractmethod
    def key(self, work: Workspace) -> str:
        """Return digest of the stage's options and of its inputs' contents."""

    @abstractmethod
    def make(self, work: Workspace) -> Outcome:
        """Make the stage's files, in place of any that are there."""

    def files(self, work: Workspace) -> list[Path]:
        """Return what the stage has made: the files of its names, or all within its folders."""
        paths = [work.folder / name for name in self.names]
        return [
            file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()
        ]

    def is_intact(self, work: Workspace) -> bool:
        """Return whether what the stage made is as it was."""
        return work.record.is_intact(self.name)

    def hand_on(self, work: Workspace, result: dict[str, Any]) -> None:
        """Tell the workspace what later stages need."""

    def run(self, work: Workspace) -> Outcome:
        key, entry = self.key(work), work.record.entry(self.name)
        same = entry is not None and entry.key == key and entry.files is not None and not work.overwrite
        if entry is not None and same and self.is_intact(work):
            outcome = Outcome(entry.result, entry.problems, reused=True)
        else:
            if same:
                work.tell(f"{work.folder}: {self.names[0]} was changed, damaged or removed since it was made")
            work.record.begin(self.name, key)
            outcome = self.make(work)
            work.record.finish(self.name, key, outcome.result, outcome.problems, self.files(work))
        self.hand_on(work, outcome.result)
        return outcome


class GrowingStage(Stage):
    """A stage whose HDF5 files go on where they stopped and grow with the photographs.

    They are made anew where they are damaged, or were made with other options or of other images.
    """

    counted: ClassVar[str]
    """What the stage's count is of."""

    @abstractmethod
    def job(self, work: Workspace, overwrite: bool) -> Summary:
        """Do what is missing, or with `overwrite` everything. Raises ProvenanceError where that cannot be mixed."""

    def finish(self, work: Workspace, done: Any) -> Outcome:
        """Return the outcome of the job. Raises XFeatError when the run cannot go on with it."""
        result = {self.counted: done.count, "done": done.done, "already_there": done.skipped}
        return Outcome(result, [reason for _, reason in done.failures], reused=done.done == 0)

    def run(self, work: Workspace) -> Outcome:
        paths = [work.folder / name for name in self.names]
        anew = work.overwrite
        if not anew and (harmed := [path for path in paths if self._is_harmed(path, work)]):
            work.tell(f"{harmed[0]} was changed or damaged since it was made; it is made again")
            anew = True
        work.record.begin(self.name, "")
        try:
            done = self.job(work, anew)
        except ProvenanceError as error:
            if anew:
                raise
            work.tell(f"{str(error).split('; use ')[0].split('; give ')[0]}; it is made again")
            done = self.job(work, True)
        _tell_changes(self.name, done, work)
        outcome = self.finish(work, done)
        work.record.finish(self.name, "", outcome.result, outcome.problems, paths)
        return outcome

    def _is_harmed(self, path: Path, work: Workspace) -> bool:
        """Return whether a finished file is not what a run left there; an interrupted one is looked into by the job."""
        if not path.exists() or partial_path(path).exists():
            return False
        entry = work.record.entry(self.name)
        if entry is not None and entry.files is not None:
            return not work.record.is_intact(self.name)
        try:
            open_hdf5(path).close()
        except StoreError:
            return True
        return False


def _tell_changes(stage: str, done: Summary, work: Workspace) -> None:
    if stage != "extract":
        return
    for names, what in ((done.removed, "no longer there"), (done.renewed, "changed")):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            work.tell(f"photographs of the last run that are {what}: {', '.join(names[:_NAMED])}{more}")


def names_of(stages: Sequence[Stage]) -> list[str]:
    """Return all that stages make within a folder."""
    return [name for stage in stages for name in stage.names]
