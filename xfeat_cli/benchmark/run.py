"""Make the measurements one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import torch

from xfeat_cli.benchmark.cases import Case, Cases
from xfeat_cli.benchmark.config import BenchConfig
from xfeat_cli.benchmark.machine import ceiling_gflops, describe, synchronise
from xfeat_cli.benchmark.report import Alternative, BenchReport, Result
from xfeat_cli.benchmark.timing import interleaved
from xfeat_cli.errors import UsageError
from xfeat_cli.images import ImageFile, find_images

_SCENE_VIEWS = 4
_SCENE_SIZE = (1536, 1024)


def bench(config: BenchConfig, progress: Callable[[str], None] = lambda line: None) -> BenchReport:
    """Time the default path against the reference path.

    progress: told what is done next. Raises UsageError, WeightsError, ImageError, StoreError.
    """
    if config.seconds < 0 or config.runs < 1 or config.threads < 0:
        raise UsageError("a measurement needs at least one run, and 0 seconds or more")
    with TemporaryDirectory(prefix="xfeat-bench-") as folder, _threads(config.threads):
        cases = Cases(config, _images(config, Path(folder), progress), Path(folder))
        report = BenchReport(describe(cases.device, cases.precision) | {"backend": cases.backend.value}, [])
        for name in config.measurements:
            progress(f"measure {name.value}")
            _measure(cases.make(name), cases, config, report)
    return report


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    if count:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _measure(case: Case, cases: Cases, config: BenchConfig, report: BenchReport) -> None:
    name = case.name.value
    wait = partial(synchronise, cases.device)
    timing = interleaved(case.reference, case.default, config.seconds, config.runs, wait)
    each = timing.per(case.items)
    ceiling = ceiling_gflops(cases.device, case.precision or cases.precision)
    share = case.gflop / (each.default_ms / 1e3) / ceiling
    report.results.append(Result(name, each.reference_ms, each.default_ms, each.ratio, share))
    report.runs[name] = timing.runs
    for other, function in case.alternatives.items():
        timing = interleaved(partial(_repeated, function, case.items), case.default, config.seconds, config.runs, wait)
        each = timing.per(case.items)
        report.alternatives.append(Alternative(other, each.reference_ms, each.default_ms, each.ratio))
    if case.agreement is not None:
        report.agreement[name] = case.agreement()
    if case.split is not None:
        report.split[name] = case.split()


def _repeated(function: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        function()


def _images(config: BenchConfig, folder: Path, progress: Callable[[str], None]) -> list[ImageFile]:
    """Return at least two photographs: the user's, or rendered ones."""
    if config.images is not None:
        found = find_images(config.images)[: config.most_images]
        if len(found) < 2:
            raise UsageError(f"{config.images} holds {len(found)} image; the benchmark matches pairs, so give two")
        return found
    from xfeat_cli.demo import render_scene

    progress(f"render {_SCENE_VIEWS} photographs of {_SCENE_SIZE[0]}x{_SCENE_SIZE[1]} (images=DIR uses yours)")
    return find_images(render_scene(folder / "scene", _SCENE_VIEWS, _SCENE_SIZE).images)
