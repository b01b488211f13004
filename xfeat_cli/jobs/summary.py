"""What a reconstruction tells its caller at its end, as numbers; the command line makes sentences of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xfeat_cli.sfm.reconstruction import ModelSummary


@dataclass(frozen=True)
class StageSummary:
    """seconds: spent on it in this run. reused: its files were there already. result: what came out, by name."""

    name: str
    seconds: float
    reused: bool
    result: dict[str, Any]


@dataclass
class SfmSummary:
    """model: the largest. stages: in their order. problems: a line for each image or pair that was left out.

    notes: a line for each thing that had changed since an earlier run, and was made again.
    """

    output: str
    stages: list[StageSummary] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    model: ModelSummary | None = None
