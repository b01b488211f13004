"""What a job over a collection tells its caller while it runs, and at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol


class Status(str, Enum):
    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Report:
    """One image or pair. count: keypoints or matches. details: more fields for `--json`."""

    name: str
    status: Status
    count: int = 0
    error: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    def start(self, total: int) -> None:
        """Hear, once, of the number of images or pairs."""

    def update(self, report: Report) -> None:
        """Called once for each image or pair, on the thread that called the job."""


@dataclass
class Summary:
    """What a job did. count: keypoints or matches in all new entries; skipped: already in the output.

    turned: photographs that the network saw turned by a quarter, a half or three quarters, for the sake of the others.
    removed, renewed: entries of an earlier run whose images are gone, or have changed, where the job was to renew them.
    """

    output: str
    total: int = 0
    done: int = 0
    skipped: int = 0
    count: int = 0
    turned: int = 0
    seconds: float = 0.0
    device: str = ""
    precision: str = ""
    failures: list[tuple[str, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)

    @property
    def nothing_done(self) -> bool:
        return self.done + self.skipped == 0


class Tally:
    """Keeps the summary of a job and passes each report on to its listener."""

    def __init__(self, summary: Summary, listener: Listener | None) -> None:
        self.summary = summary
        self._listener = listener

    def start(self, total: int) -> None:
        self.summary.total = total
        if self._listener:
            self._listener.start(total)

    def add(self, report: Report) -> None:
        if report.status is Status.OK:
            self.summary.done += 1
            self.summary.count += report.count
        elif report.status is Status.SKIPPED:
            self.summary.skipped += 1
        else:
            self.summary.failures.append((report.name, report.error))
        if self._listener:
            self._listener.update(report)
