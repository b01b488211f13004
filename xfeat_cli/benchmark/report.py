"""What a benchmark found, and its form for programs: a contract with checks outside this project."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from xfeat_cli.benchmark.accuracy import Agreement


@dataclass(frozen=True)
class Result:
    """Medians in ms of one image or pair. ceiling_share: GFLOP/s of the default path over a matrix product's."""

    name: str
    reference_ms: float
    default_ms: float
    ratio: float
    ceiling_share: float


@dataclass(frozen=True)
class Alternative:
    """Another program beside the default path, as `Result`."""

    name: str
    alternative_ms: float
    default_ms: float
    ratio: float


@dataclass(frozen=True)
class BenchReport:
    """machine: what it ran on. runs, agreement, split (seconds by stage): by the name of a result.

    alternatives: what one might use instead, timed against the default path in the same run.
    """

    machine: dict[str, Any]
    results: list[Result]
    runs: dict[str, int] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    split: dict[str, dict[str, float]] = field(default_factory=dict)
    alternatives: list[Alternative] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return one object: `machine` and `results`, and beside them `runs`, `accuracy` and `time_split` by result,
        and `alternatives`.
        """
        return {
            "machine": self.machine,
            "results": [asdict(result) for result in self.results],
            "runs": self.runs,
            "accuracy": {name: asdict(one) for name, one in self.agreement.items()},
            "time_split": self.split,
            "alternatives": [asdict(one) for one in self.alternatives],
        }
