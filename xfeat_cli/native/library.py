"""The library's file for this processor, loaded on first use; None where it was not built or is switched off."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

LEVELS = ("plain", "avx2", "avx512", "avx512bf16")
"""What a processor has, as `xfeat_best_level` of native/levels.cpp counts."""

SWITCH = "XFEAT_NATIVE"
"""Environment variable: `off`, or the highest level to use."""

_ABI = 3
_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

_INT, _LONG, _FLOAT, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
_SIGNATURES = {
    "xfeat_match": [_POINTER, _INT, _POINTER, _INT, _INT, _FLOAT, _FLOAT, _POINTER, _POINTER],
    "xfeat_keypoint_heatmap": [
        *(_POINTER, _INT, _INT, _POINTER, _POINTER),
        *(_POINTER, _POINTER, _INT, _POINTER),
    ],
    "xfeat_peaks": [
        *(_POINTER, _INT, _INT, _LONG, _POINTER, _INT, _INT, _FLOAT),
        *(_POINTER, _INT, _POINTER, _POINTER, _POINTER),
    ],
    "xfeat_describe": [_POINTER, _INT, _INT, _POINTER, _INT, _POINTER],
    "xfeat_linear": [_POINTER, _INT, _INT, _POINTER, _POINTER, _INT, _INT, _POINTER],
    "xfeat_reduce_gray": [_POINTER, _INT, _INT, _INT, _LONG, _INT, _INT, _POINTER],
}


class Library:
    """One level, loaded. Raises OSError where its file is missing or of another version."""

    def __init__(self, level: str) -> None:
        self.level = level
        self._library = ctypes.CDLL(str(path_of(level)))
        try:
            version = self._library.xfeat_abi()
        except AttributeError:
            version = 0
        if version != _ABI:
            raise OSError(f"{path_of(level)} is of another version; build it again: python native/build.py")
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, _INT

    @property
    def multiplies_fast(self) -> bool:
        """Return whether its matrix products are worth using: torch's are faster than those without vectors of 32
        bytes.
        """
        return self.level != "plain"

    @property
    def multiplies_bf16(self) -> bool:
        """Return whether it has products of bfloat16."""
        return self.level == "avx512bf16"

    def call(self, name: str, *arguments: object) -> None:
        """Call a function. Raises MemoryError."""
        if getattr(self._library, name)(*arguments) != 0:
            raise MemoryError(f"{name}: not enough memory")


def path_of(level: str) -> Path:
    """Return where a level's file is, or would be."""
    return Path(__file__).parent / f"libxfeat-{level}{_SUFFIX}"


def supported_levels() -> tuple[str, ...]:
    """Return the levels that are built and that this processor runs, the best last."""
    try:
        plain = ctypes.CDLL(str(path_of("plain")))
        best = int(plain.xfeat_best_level())
    except (OSError, AttributeError):
        return ()
    return tuple(level for level in LEVELS[: best + 1] if path_of(level).exists())


@cache
def library() -> Library | None:
    """Return the best level that this processor runs and that `SWITCH` allows."""
    highest = os.environ.get(SWITCH, "") or LEVELS[-1]
    allowed = LEVELS[: LEVELS.index(highest) + 1] if highest in LEVELS else ()
    for level in reversed(supported_levels()):
        if level in allowed:
            try:
                return Library(level)
            except OSError:
                continue
    return None


def level() -> str:
    """Return the level in use, or `none`."""
    loaded = library()
    return "none" if loaded is None else loaded.level
