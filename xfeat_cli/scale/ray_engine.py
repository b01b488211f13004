"""Pieces of a job on the nodes of a Ray cluster. The one owner of ray.

Ray places the workers, and notices when one dies. What is done here: one worker a core (or a GPU) pulls pieces, a piece
whose worker died or failed is given to another one, three times at most, and the results stay on the shared file
system: only names and reports travel.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfeat_cli.errors import StoreError, UsageError, XFeatError
from xfeat_cli.jobs.progress import Report, Status, Tally
from xfeat_cli.scale.work import Work
from xfeat_cli.store.pieces import MANIFEST, Slice
from xfeat_cli.version import __version__

logger = logging.getLogger(__name__)

LOCAL = "local"
"""The address that stands for this machine, on which Ray is started by itself."""

MOST_TRIES = 3
_WAIT_S = 1.0


@dataclass(frozen=True)
class Cluster:
    """What is connected. slots: how many workers there is room for. gpus: how many GPUs each of them has, 0 or 1."""

    ray: Any
    slots: int
    gpus: int


@contextmanager
def connect(address: str, workers: int | None, use_gpus: bool) -> Iterator[Cluster]:
    """Join the Ray cluster at an address, or start one on this machine, and leave it at the end.

    workers: most workers; None = one for each core, or GPU.
    Raises UsageError when ray is not installed or the address does not answer.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns about GPUs that are not there
    os.environ.setdefault("RAY_worker_niceness", "0")  # at Ray's own 15, whatever else the machine does comes first
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"ray={address} needs Ray ({error}); install it with: pip install 'xfeat-cli[ray]'") from None
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        settings |= {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"ray={address}: no cluster answers there ({reason}); start it, or use ray=local") from None
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = 1 if use_gpus and resources.get("GPU", 0) >= 1 else 0
        slots = int(resources.get("GPU" if gpus else "CPU", 0))
        if slots < 1:
            raise UsageError(f"ray={address}: the cluster has no free core")
        yield Cluster(ray, min(slots, workers or slots), gpus)
    finally:
        ray.shutdown()


class _Worker:
    """One core or GPU of a node."""

    def greet(self, folder: str) -> tuple[str, str, bool]:
        """Return the node's name, its version of xfeat, and whether it sees the folder of the pieces."""
        return socket.gethostname(), __version__, (Path(folder) / MANIFEST).is_file()

    def run(self, work: Work, items: list[str], piece: str) -> list[Report]:
        return work.run(items, Path(piece))


@dataclass
class _Hand:
    """A worker with the piece that it holds; none while it has not greeted yet."""

    actor: Any
    call: Any
    piece: Slice | None = None
    node: str = "a node"


class PieceRunner:
    """Gives the pieces of a job to workers until all are done or have failed three times.

    listener of problems: gets a line when a worker dies or a piece is tried again.
    Raises UsageError when a node has another version of xfeat or does not see the folder.
    """

    def __init__(
        self, cluster: Cluster, work: Work, folder: Path, items: Sequence[str], note: Callable[[str], None]
    ) -> None:
        self._ray, self._slots = cluster.ray, cluster.slots
        self._actor = cluster.ray.remote(num_cpus=1, num_gpus=cluster.gpus, max_restarts=0)(_Worker)
        self._work, self._folder, self._items, self._note = work, folder, items, note
        self._hands: list[_Hand] = []
        self._todo: deque[Slice] = deque()
        self._tries: dict[str, int] = {}

    def run(self, pieces: Sequence[Slice], tally: Tally) -> list[Slice]:
        """Make the files of pieces; returns those that could not be made."""
        self._todo.extend(pieces)
        failed: list[Slice] = []
        while self._todo or any(hand.piece for hand in self._hands):
            self._hire()
            done, _ = self._ray.wait([hand.call for hand in self._hands], num_returns=1, timeout=_WAIT_S)
            for hand in [hand for hand in self._hands if hand.call in done]:
                failed += self._finish(hand, tally)
        for hand in self._hands:
            self._ray.kill(hand.actor)
        self._hands.clear()
        return failed

    def _hire(self) -> None:
        free = sum(hand.piece is None for hand in self._hands)
        while len(self._hands) < self._slots and free < len(self._todo):
            actor = self._actor.remote()
            self._hands.append(_Hand(actor, actor.greet.remote(str(self._folder))))
            free += 1

    def _finish(self, hand: _Hand, tally: Tally) -> list[Slice]:
        """Take what a worker's call gave, and give it the next piece; returns the piece if it failed for good."""
        errors = self._ray.exceptions
        try:
            result = self._ray.get(hand.call)
        except errors.RayTaskError as error:
            failed = self._again(hand, _reason(error), tally)
        except errors.RayError as error:
            self._hands.remove(hand)
            return self._again(hand, f"the worker died ({type(error).__name__})", tally)
        else:
            failed = []
            if hand.piece is None:
                hand.node = self._checked(*result)
            else:
                for report in result:
                    tally.add(report)
        self._give(hand)
        return failed

    def _give(self, hand: _Hand) -> None:
        if not self._todo:
            self._hands.remove(hand)
            self._ray.kill(hand.actor)
            hand.piece = None
            return
        hand.piece = self._todo.popleft()
        items = list(self._items[hand.piece.first : hand.piece.last])
        hand.call = hand.actor.run.remote(self._work, items, str(self._folder / hand.piece.file))

    def _again(self, hand: _Hand, reason: str, tally: Tally) -> list[Slice]:
        """Put a worker's piece back, unless it has had all of its tries."""
        piece, hand.piece = hand.piece, None
        if piece is None:
            return []
        tries = self._tries[piece.file] = self._tries.get(piece.file, 0) + 1
        if tries < MOST_TRIES:
            self._note(f"{piece.file} on {hand.node}: {reason}; it is tried again")
            self._todo.append(piece)
            return []
        tally.add(Report(piece.file, Status.FAILED, error=f"{piece.file} failed {tries} times, last: {reason}"))
        return [piece]

    def _checked(self, node: str, version: str, sees_folder: bool) -> str:
        if version != __version__:
            raise UsageError(f"node {node} has xfeat {version}, this machine {__version__}; install the same on all")
        if not sees_folder:
            raise UsageError(f"node {node} does not see {self._folder}; the folder must be on a file system all share")
        return node


def check_complete(folder: Path, failed: Sequence[Slice]) -> None:
    """Raise StoreError if pieces failed; those that are done are kept."""
    if failed:
        raise StoreError(
            f"{len(failed)} pieces failed {MOST_TRIES} times, the reasons are above; the others are kept in {folder}: "
            "run the same command again, or merge with allow_missing=True"
        )


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, XFeatError):
        return str(cause)
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"
