"""A folder of photographs → a reconstruction, stage by stage.

Every stage keeps its file in the output folder, and a later run does only what is missing. `stages.json` remembers the
options, and of what each COLMAP stage was made: new images or matches make these stages again, other options are
refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from xfeat_cli.config import ExtractConfig, MatchConfig, Mode
from xfeat_cli.errors import ProvenanceError, SfmError, StoreError, UsageError
from xfeat_cli.files import write_text
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.aggregate import AggregateSummary, aggregate
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.match import match
from xfeat_cli.jobs.progress import Listener, Summary
from xfeat_cli.pairing.lists import can_be_listed, exhaustive, sequential, unique, write_pairs
from xfeat_cli.pairing.retrieval import loop_closures, retrieve
from xfeat_cli.sfm.config import AggregateConfig, ColmapConfig, PairKind, SfmConfig
from xfeat_cli.sfm.database import build_database
from xfeat_cli.sfm.engine import version
from xfeat_cli.sfm.reconstruction import ModelSummary, reconstruct
from xfeat_cli.sfm.verification import verify
from xfeat_cli.store.names import colliding_names
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import Pair

_COLMAP_STAGES = ("import", "verify", "reconstruct")

Listeners = Callable[[str], Listener | None]
"""Asked for a listener at the start of each stage, by the stage's name."""


@dataclass(frozen=True)
class Stage:
    """seconds: spent on it in this run. reused: its file was there already. result: what came out, in words."""

    name: str
    seconds: float
    reused: bool
    result: str


@dataclass
class SfmSummary:
    """model: the largest. stages: in their order. problems: a line for each image or pair that was left out."""

    output: str
    stages: list[Stage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    model: ModelSummary | None = None
    aggregation: AggregateSummary | None = None


def reconstruct_folder(
    images: str | Path,
    output: str | Path,
    config: SfmConfig | None = None,
    *,
    extraction: ExtractConfig | None = None,
    matching: MatchConfig | None = None,
    aggregation: AggregateConfig | None = None,
    cameras: ColmapConfig | None = None,
    overwrite: bool = False,
    listeners: Listeners | None = None,
) -> SfmSummary:
    """Extract, pair, match, (when semi-dense) aggregate, import, verify, reconstruct.

    output: folder for features.h5, pairs.txt, matches.h5, keypoints.h5 and aggregated.h5 (semi-dense), database.db and
    sparse/0, 1, … (COLMAP models, the largest first). Images and pairs that fail are reported and left out.
    Raises SfmError when nothing can be reconstructed, ProvenanceError when the folder holds a run with other options
    (unless `overwrite`), and what the stages raise.
    """
    version()
    images, output = Path(images), Path(output)
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder of photographs")
    run = _Run(
        images,
        output,
        config or SfmConfig(),
        extraction or ExtractConfig(),
        matching or MatchConfig(),
        aggregation or AggregateConfig(),
        cameras or ColmapConfig(),
        overwrite,
        listeners or (lambda stage: None),
    )
    return run.all_stages()


@dataclass
class _Run:
    images: Path
    output: Path
    config: SfmConfig
    extraction: ExtractConfig
    matching: MatchConfig
    aggregation: AggregateConfig
    cameras: ColmapConfig
    overwrite: bool
    listeners: Listeners

    def __post_init__(self) -> None:
        self.summary = SfmSummary(str(self.output))
        self.semi_dense = self.extraction.mode is Mode.SEMI_DENSE
        self.record = _Record(self.output / "stages.json", self._options(), self.overwrite)

    def all_stages(self) -> SfmSummary:
        features, pairs, matches = (self.output / name for name in ("features.h5", "pairs.txt", "matches.h5"))
        self._extract(features)
        self._pairs(features, pairs)
        self._match(pairs, features, matches)
        if self.semi_dense:
            features, matches = self._aggregate(features, matches)
        with KeypointsReader(features) as keypoints, MatchesReader(matches) as found:
            made_of = f"{fingerprint.of_content(keypoints)} {fingerprint.of_content(found)}"
        key = f"{made_of} pycolmap {version()}"
        database = self.output / "database.db"
        self._import(features, matches, database, key)
        self._verify(database, key)
        self._reconstruct(database, key)
        return self.summary

    def _options(self) -> dict[str, Any]:
        options = {**asdict(self.config), **asdict(self.cameras), **asdict(self.aggregation)}
        options["mode"] = self.extraction.mode.value
        options["matcher"] = self.matching.matcher
        del options["threads"]
        return {key: value.value if isinstance(value, Enum) else value for key, value in options.items()}

    def _extract(self, features: Path) -> None:
        listener = self.listeners("extract")
        done = extract(self.images, features, self.extraction, overwrite=self.overwrite, listener=listener)
        self._add("extract", done, "keypoints")
        if done.nothing_done:
            raise SfmError(f"no image of {self.images} can be read: {done.failures[0][1]}")
        if done.done + done.skipped < 2:
            raise SfmError(f"{self.images} holds one image that can be read; a reconstruction needs at least two")

    def _pairs(self, features: Path, pairs: Path) -> None:
        started = time.monotonic()
        with KeypointsReader(features) as reader:
            stored = reader.names()
        names = self._usable(stored)
        usable = set(names)
        # What looks alike comes from the whole features file.
        count = write_pairs(pairs, (pair for pair in self._paired(names, features) if usable.issuperset(pair)))
        self.summary.stages.append(Stage("pairs", time.monotonic() - started, False, f"{count:,} pairs"))

    def _usable(self, stored: list[str]) -> list[str]:
        """The names that lists of pairs and matches files can hold; the others are reported."""
        names = [name for name in stored if can_be_listed(name)]
        problems = [
            f"{name!r} cannot stand in a list of pairs; rename the file" for name in stored if name not in names
        ]
        for alike in colliding_names(names):
            problems.append(
                f"{' and '.join(map(repr, alike))} were left out: in a matches file, where hloc writes - for /, they "
                "are one name; rename one of them"
            )
            names = [name for name in names if name not in alike]
        if len(names) < 2:
            raise SfmError(f"no two images of {self.images} can be paired: {problems[0]}")
        self.summary.problems += problems
        return names

    def _paired(self, names: list[str], features: Path) -> Iterable[Pair]:
        if self.config.pairs is PairKind.SEQUENTIAL:
            config = self.config
            pairs = sequential(names, config.overlap, config.quadratic)
            if not config.loop_closure:
                return pairs
            closures = loop_closures(features, config.loop_closure, config.loop_period, config.overlap)
            return unique([*pairs, *closures])
        if self.config.pairs is PairKind.RETRIEVAL:
            return retrieve(features, self.config.num)
        return exhaustive(names)

    def _match(self, pairs: Path, features: Path, matches: Path) -> None:
        listener = self.listeners("match")
        done = match(pairs, features, matches, self.matching, overwrite=self.overwrite, listener=listener)
        self._add("match", done, "matches")
        if done.nothing_done:
            raise SfmError(f"no pair of {pairs} can be matched: {done.failures[0][1]}")

    def _aggregate(self, features: Path, matches: Path) -> tuple[Path, Path]:
        keypoints, indexed = self.output / "keypoints.h5", self.output / "aggregated.h5"
        with MatchesReader(matches) as found:
            key = fingerprint.of_content(found)
        stale = self.overwrite or self.record.key("aggregate") not in (None, key)
        self.record.put("aggregate", key)
        done = aggregate(
            matches,
            features,
            keypoints,
            indexed,
            self.aggregation,
            overwrite=stale,
            listener=self.listeners("aggregate"),
        )
        self.summary.aggregation = done
        self._add("aggregate", done, f"matches, {done.kept_share:.1%} kept, moved {done.displacement_px:.2f} px")
        return keypoints, indexed

    def _import(self, features: Path, matches: Path, database: Path, key: str) -> None:
        def make() -> tuple[str, list[str]]:
            made = build_database(features, matches, database, self.images, self.cameras, overwrite=True)
            return f"{made.images} images, {made.pairs:,} pairs", made.problems

        self._colmap_stage("import", key, database, make)

    def _verify(self, database: Path, key: str) -> None:
        def make() -> tuple[str, list[str]]:
            made = verify(database, self.cameras)
            return f"{made.verified:,} of {made.pairs:,} pairs, {made.inliers:,} of {made.matches:,} matches", []

        self._colmap_stage("verify", key, database, make)

    def _reconstruct(self, database: Path, key: str) -> None:
        models = self.output / "sparse"

        def make() -> tuple[str, list[str]]:
            model = reconstruct(database, self.images, models, self.config.mapper, self.cameras)
            self.record.model = asdict(model)
            return f"{model.registered} of {model.images} images", []

        self._colmap_stage("reconstruct", key, models, make)
        assert self.record.model is not None
        self.summary.model = ModelSummary(**self.record.model)

    def _colmap_stage(self, name: str, key: str, path: Path, make: Callable[[], tuple[str, list[str]]]) -> None:
        """Make a stage unless it was made of the same input before; its result and problems are remembered."""
        started = time.monotonic()
        self.listeners(name)
        reused = path.exists() and self.record.key(name) == key
        if not reused:
            self.record.forget(_COLMAP_STAGES[_COLMAP_STAGES.index(name) :])
            result, problems = make()
            self.record.put(name, key, result, problems)
        result, problems = self.record.outcome(name)
        self.summary.problems += problems
        self.summary.stages.append(Stage(name, time.monotonic() - started, reused, result))

    def _add(self, name: str, done: Summary, counted: str) -> None:
        reused = done.done == 0
        result = f"{done.skipped:,} already there" if reused else f"{done.count:,} {counted}"
        self.summary.stages.append(Stage(name, done.seconds, reused, result))
        self.summary.problems += [reason for _, reason in done.failures]


class _Record:
    """stages.json: options of the run, and what each stage was made of.

    Raises ProvenanceError when the folder holds a run with other options, StoreError when it cannot be written.
    """

    def __init__(self, path: Path, options: dict[str, Any], overwrite: bool) -> None:
        self._path = path
        self._content: dict[str, Any] = {} if overwrite else self._read()
        before = self._content.get("options", options)
        differences = [
            f"{key} {before.get(key)}, now {value}" for key, value in options.items() if before.get(key) != value
        ]
        if differences:
            raise ProvenanceError(
                f"{path.parent} was made with {'; '.join(differences)}; "
                "use overwrite=True to start again, or another folder"
            )
        self._content["options"] = options
        self._stages: dict[str, Any] = self._content.setdefault("stages", {})
        self._write()

    @property
    def model(self) -> dict[str, Any] | None:
        return self._content.get("model")

    @model.setter
    def model(self, model: dict[str, Any]) -> None:
        self._content["model"] = model

    def key(self, stage: str) -> str | None:
        return self._stages.get(stage, {}).get("key")

    def outcome(self, stage: str) -> tuple[str, list[str]]:
        return self._stages[stage]["result"], self._stages[stage]["problems"]

    def put(self, stage: str, key: str, result: str = "", problems: list[str] | None = None) -> None:
        self._stages[stage] = {"key": key, "result": result, "problems": problems or []}
        self._write()

    def forget(self, stages: Sequence[str]) -> None:
        for stage in stages:
            self._stages.pop(stage, None)
        self._write()

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._path} cannot be read ({error}); use overwrite=True to start again") from None
        return content if isinstance(content, dict) else {}

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(self._content, indent=1))
        except OSError as error:
            raise StoreError(f"{self._path.parent} cannot be written ({error.strerror or error})") from None
