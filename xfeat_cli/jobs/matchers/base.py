"""What every matcher of pairs offers to `jobs.match`."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from xfeat_cli.config import Precision
from xfeat_cli.errors import StoreError
from xfeat_cli.types import Matches, Pair, PointMatches


@dataclass(frozen=True)
class PairResult:
    """The matches of a pair.

    entry: the datasets to store. digests: what the two images were when their features were made; empty for features
    of other tools.
    """

    matches: Matches | PointMatches
    entry: dict[str, Any]
    digests: tuple[str, str]


class PairMatcher(Protocol):
    """Matches pairs of images of one features file, or of two.

    devices: what computes. precision: of the arithmetic. semi_dense: whether the results are `PointMatches`.
    """

    @property
    def devices(self) -> tuple[torch.device, ...]: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def semi_dense(self) -> bool: ...

    def match(self, pairs: Iterable[Pair]) -> Generator[tuple[Pair, PairResult | StoreError], None, None]:
        """Return each pair, in the order given, with its result, or the error for features that cannot be matched."""

    def provenance(self) -> dict[str, str | int | float]:
        """Return what decides the matches: options, weights, and the features' own provenance."""
