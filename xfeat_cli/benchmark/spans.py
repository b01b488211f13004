"""Where a job's time goes: its stages are watched from outside, so that the jobs carry no clocks."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


class Spans:
    """Wall time (s) by stage, of calls on any thread; a stage's own threads may overlap."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def watching(self, **stages: tuple[Any, str]) -> Iterator[None]:
        """Within the block, calls of `owner.attribute` count for the stage: watching(stage=(owner, "attribute"))."""
        with ExitStack() as stack:
            for stage, (owner, attribute) in stages.items():
                stack.enter_context(self._watch(stage, owner, attribute))
            yield

    @contextmanager
    def _watch(self, stage: str, owner: Any, attribute: str) -> Iterator[None]:
        original = getattr(owner, attribute)

        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return original(*args, **options)
            finally:
                with self._lock:
                    self.seconds[stage] += time.perf_counter() - started

        setattr(owner, attribute, timed)
        try:
            yield
        finally:
            setattr(owner, attribute, original)
