"""One writer for each output. A lock ends with its process, however that ends, so none is ever stale."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import filelock

from xfeat_cli.errors import LockedError, one_line
from xfeat_cli.files import warn_once

_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.EIO)
"""How file systems (NFS, SMB, some FUSE) refuse locks."""

_SHOWN_HOLDER = 200


class OutputLock:
    """Held from its making until `release`, or the end of the process. A context manager.

    The lock's file, `.<name>.lock` beside the output (beside what a symbolic link points to), stays, hidden: removing
    it would let two processes hold locks on different files. It names its holder to those who are turned away.
    Where the file system refuses locks, work goes on without one, with one warning.

    Raises LockedError when another process writes the output, and OSError.
    """

    def __init__(self, output: Path) -> None:
        target = Path(os.path.realpath(output))
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path = target.with_name(f".{target.name}.lock")
        self._lock: filelock.BaseFileLock | None = filelock.FileLock(self._path)
        try:
            self._lock.acquire(blocking=False)
            self._sign()
        except filelock.Timeout:
            raise LockedError(
                f"{output} is being written by another process{self._holder()}; wait for it, or choose another output"
            ) from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            self._lock = None
            warn_once(
                f"the file system of {target.parent} refuses locks ({getattr(error, 'strerror', None) or error}): "
                "see to it that no other process writes the same output"
            )

    def __enter__(self) -> OutputLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _sign(self) -> None:
        command = " ".join(["xfeat", *map(shlex.quote, sys.argv[1:])])
        with suppress(OSError):
            self._path.write_text(f"process {os.getpid()} on {socket.gethostname()}: {command}\n", errors="replace")

    def _holder(self) -> str:
        with suppress(OSError):
            holder = one_line(self._path.read_text(errors="replace")[:_SHOWN_HOLDER].strip())
            return f" ({holder})" if holder else ""
        return ""
