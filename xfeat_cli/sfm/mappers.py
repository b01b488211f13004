"""COLMAP's mappers, run on one component after the other, and given up where they come to nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.sfm.components import LEAST_IMAGES, split
from xfeat_cli.sfm.config import Mapper, MappingConfig
from xfeat_cli.sfm.engine import pycolmap
from xfeat_cli.sfm.process import Listen
from xfeat_cli.sfm.verified import PairTable, open_verified

LEAST_PATIENCE_SECONDS = 30.0
"""A mapper that has registered nothing for so long is ended, once it has been given ten times its longest pause too."""


@dataclass(frozen=True)
class MapProgress:
    """component: number from 0, of `components`. images: in it; registered: of them, so far."""

    component: int
    components: int
    images: int
    registered: int


@dataclass
class Mapped:
    """models: pycolmap.Reconstructions. given_up: a line for each component of which no model could be made."""

    models: list[Any] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)


def run_mapper(database: Path, images: Path, folder: Path, config: MappingConfig, listen: Listen | None) -> Mapped:
    """Map each component of a verified database; `folder`: where the mapper may write. Raises SfmError."""
    with open_verified(database) as verified:
        table = verified.table()
    if not table.inliers.any():
        raise SfmError(f"{database} holds no verified pair; verify it first, with `xfeat colmap --verify` or COLMAP")
    groups = [
        [table.names[row] for row in part]
        for part in split(len(table.names), table.images, table.matches, table.inliers)
    ]
    mapped = Mapped()
    for number, names in enumerate(groups):
        place = folder / f"component-{number}"
        place.mkdir()

        def heard(registered: int, number: int = number, names: list[str] = names) -> None:
            if listen is not None:
                listen(MapProgress(number, len(groups), len(names), registered))

        heard(0)
        models = _map(database, images, place, config, names if len(names) < len(table.names) else [], heard)
        mapped.models += models
        if not models and len(names) >= LEAST_IMAGES:
            mapped.given_up.append(f"no model of the {len(names)} photographs around {_hub(names, table)}")
    return mapped


def _map(
    database: Path,
    images: Path,
    folder: Path,
    config: MappingConfig,
    names: list[str],
    heard: Callable[[int], None],
) -> list[Any]:
    engine = pycolmap()
    try:
        if config.mapper is Mapper.GLOBAL:
            options = _common(engine.GlobalPipelineOptions(), config, names)
            return list(engine.global_mapping(database, images, folder, options).values())
        options = _common(engine.IncrementalPipelineOptions(), config, names)
        options.min_model_size = LEAST_IMAGES
        if config.mapper is Mapper.HIERARCHICAL:
            hierarchical = engine.HierarchicalPipelineOptions()
            hierarchical.incremental_options = options
            hierarchical.num_threads = config.threads
            return list(engine.hierarchical_mapping(database, images, folder, hierarchical).values())
        with _Patience(len(names), heard) as patience:
            return list(
                engine.incremental_mapping(
                    database,
                    images,
                    folder,
                    options,
                    initial_image_pair_callback=lambda: patience.registered(2, first=True),
                    next_image_callback=lambda: patience.registered(1),
                    cancellation_token=patience.token,
                ).values()
            )
    except InterruptedError:  # given up: what it had written is what there is
        return [model for part in sorted(folder.iterdir()) if (model := _read(part)) is not None]
    except (RuntimeError, ValueError) as error:
        raise SfmError(f"COLMAP's {config.mapper.value} mapper failed on {database}: {error}") from None


def _common(options: Any, config: MappingConfig, names: list[str]) -> Any:
    options.num_threads = config.threads
    options.random_seed = config.seed
    if names:
        options.image_names = names
    return options


def _read(folder: Path) -> Any:
    try:
        model = pycolmap().Reconstruction(folder)
    except (RuntimeError, ValueError, OSError):
        return None
    return model if model.num_reg_images() >= LEAST_IMAGES else None


def _hub(names: list[str], table: PairTable) -> str:
    """Return the photograph of a component with most verified matches."""
    rows = {name: row for row, name in enumerate(table.names)}
    return max(names, key=lambda name: int(table.inliers[(table.images == rows[name]).any(axis=1)].sum()))


class _Patience:
    """Counts registered images, and cancels a mapper that registers no more. token: to be given to the mapper."""

    def __init__(self, images: int, heard: Callable[[int], None]) -> None:
        self.token = pycolmap().CancellationToken()
        self._heard = heard
        self._count = 0
        self._last = time.monotonic()
        self._allowed = max(LEAST_PATIENCE_SECONDS, 0.5 * images)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Patience:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def registered(self, more: int, *, first: bool = False) -> None:
        """So many more images have a pose; first: of a new model."""
        now = time.monotonic()
        self._allowed = max(self._allowed, 10 * (now - self._last))
        self._last = now
        self._count = more if first else self._count + more
        self._heard(self._count)

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            if time.monotonic() - self._last > self._allowed:
                self.token.cancel()
                return
