"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_SHOWN = 3


class Severity(str, Enum):
    """note: worth knowing. warning: results will be worse. error: results will be wrong, or there will be none."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """check: the name of the check, for programs. subject: the file or entry that it is about."""

    severity: Severity
    check: str
    subject: str
    cause: str
    remedy: str


def some(names: Sequence[str]) -> str:
    """Return the first few of many names."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
