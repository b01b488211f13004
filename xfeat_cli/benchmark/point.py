"""One point of a growth curve, in a process of its own: `python -m xfeat_cli.benchmark.point` with a task on stdin."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from xfeat_cli.benchmark.machine import peak_memory_mb
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.match import match

_JOBS: dict[str, Any] = {"extract": extract, "match": match}


@dataclass(frozen=True)
class Task:
    """job: extract or match. first: arguments of a small run that does not count; arguments: of those that do."""

    job: str
    first: dict[str, Any]
    arguments: dict[str, Any]
    runs: int

    def as_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Cost:
    """seconds: of the fastest run. peak_mb: most memory the process held; idle_mb: the same before the first job."""

    seconds: float
    peak_mb: float
    idle_mb: float

    @property
    def working_mb(self) -> float:
        return self.peak_mb - self.idle_mb


def measure(task: Task) -> Cost:
    """Run the job, in this process. Raises what the job raises."""
    job, idle, taken = _JOBS[task.job], peak_memory_mb(), []
    job(**task.first)
    for _ in range(task.runs):
        started = time.perf_counter()
        job(**task.arguments)
        taken.append(time.perf_counter() - started)
    return Cost(min(taken), peak_memory_mb(), idle)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Task(**json.load(sys.stdin))))))
