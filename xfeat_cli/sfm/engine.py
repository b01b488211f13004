"""pycolmap, imported late and kept quiet."""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import cache
from typing import Any

from xfeat_cli.errors import SfmError

OLDEST = 4


@cache
def pycolmap() -> Any:
    """Return the module. Raises SfmError when it is missing or older than 4."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        import pycolmap as module
    except ImportError as error:
        raise SfmError(f"this needs pycolmap ({error}); install it with: pip install 'xfeat-cli[sfm]'") from None
    if int(module.__version__.split(".")[0]) < OLDEST:
        raise SfmError(f"pycolmap {module.__version__} is too old; install 4 or newer: pip install 'xfeat-cli[sfm]'")
    module.logging.minloglevel = int(module.logging.Level.FATAL)
    with suppress(ValueError, TypeError):  # of another thread than the main one, or not a handler of Python's
        signal.signal(signal.SIGTERM, on_sigterm)  # glog has taken it, to print a stack
    return module


def version() -> str:
    """Return pycolmap's version. Raises SfmError as `pycolmap` does."""
    return str(pycolmap().__version__)
