"""Conditions on the figures of a report, for scripts and CI: 'registered>=0.95'."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from xfeat_cli.errors import UsageError

_OPERATORS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*([a-z_]+)\s*(>=|<=|==|!=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class Condition:
    """A figure's name, an operator and the number it is compared with."""

    figure: str
    operator: str
    number: float

    def __str__(self) -> str:
        return f"{self.figure}{self.operator}{self.number:g}"

    def holds(self, figures: Mapping[str, float | None]) -> bool:
        """Return whether it is true of the figures; a figure that is not known fulfils nothing."""
        value = figures[self.figure]
        return value is not None and bool(_OPERATORS[self.operator](value, self.number))


def parse_condition(text: str, known: Mapping[str, object]) -> Condition:
    """Return `figure operator number`, the number perhaps with %. known: the figures. Raises UsageError."""
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise UsageError(f"--check {text!r}: write a figure, an operator and a number, such as 'registered>=0.95'")
    name, sign, number, percent = parts.groups()
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"--check {text!r}: no figure is called {name!r}; {hint}")
    return Condition(name, sign, float(number) / (100 if percent else 1))
