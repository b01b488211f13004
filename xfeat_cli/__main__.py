"""The `xfeat` command. Ctrl-C ends it with one line from its first moment on, while it is still being imported too."""

from __future__ import annotations

import os
import signal
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, b"xfeat: interrupted\n")
    os._exit(128 + number)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    from xfeat_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
