"""Every default of making lists of pairs, and its meaning; as `config`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from xfeat_cli.config import require, require_whole
from xfeat_cli.errors import UsageError

_MOST = 1_000_000


class PairKind(str, Enum):
    EXHAUSTIVE = "exhaustive"
    SEQUENTIAL = "sequential"
    RETRIEVAL = "retrieval"
    SPATIAL = "spatial"
    POSES = "poses"
    COVISIBILITY = "covisibility"


@dataclass(frozen=True)
class PairConfig:
    """Which images are matched.

    kinds: the pairs of all these kinds together; a string such as "sequential+retrieval" is converted.
    listed: a list of pairs to take instead.
    overlap: how many following images each is paired with when sequential; quadratic: also with those 1, 2, 4, …
    2^(overlap − 1) ahead; loop_closure: every `loop_period`th image also with this many that look alike, 0 = none.
    num: how many others each is paired with by retrieval, positions, poses or covisibility.
    distance: farthest partner of a position, metres or the unit of `positions`.
    positions: CSV of where the images were taken; None = GPS from their EXIF.
    max_angle_deg: most that the viewing directions of poses may differ.
    model: folder of the COLMAP model that poses and covisibility come from.
    """

    kinds: tuple[PairKind, ...] = (PairKind.EXHAUSTIVE,)
    listed: Path | None = None
    overlap: int = 10
    quadratic: bool = False
    loop_closure: int = 0
    loop_period: int = 10
    num: int = 20
    distance: float = float("inf")
    positions: Path | None = None
    max_angle_deg: float = 45.0
    model: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", _kinds(self.kinds))
        for name in ("listed", "positions", "model"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name, least in (("overlap", 1), ("loop_closure", 0), ("loop_period", 1), ("num", 1)):
            require_whole(name, getattr(self, name), least, _MOST)
        require(self.distance >= 0, "distance", self.distance, "at least 0")
        require(0 <= self.max_angle_deg <= 180, "max_angle_deg", self.max_angle_deg, "in [0, 180] degrees")
        if self.model is None and {PairKind.POSES, PairKind.COVISIBILITY} & {*self.kinds}:
            raise UsageError("pairs by poses or covisibility come from a COLMAP model; give its folder as model=FOLDER")


def _kinds(value: Any) -> tuple[PairKind, ...]:
    """Return kinds from one of them, several, or a string of names with + between. Raises UsageError."""
    names = value.split("+") if isinstance(value, str) and not isinstance(value, PairKind) else value
    names = [names] if isinstance(names, PairKind) else names
    try:
        kinds = tuple(dict.fromkeys(map(PairKind, names)))
    except (ValueError, TypeError):
        known = ", ".join(kind.value for kind in PairKind)
        raise UsageError(f"kinds is {value!r}; it must be one or more of {known}, with + between") from None
    require(bool(kinds), "kinds", value, "at least one kind of pairs")
    return kinds
