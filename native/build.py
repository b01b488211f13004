"""Builds the native library, one file for each processor level, where a C++17 compiler is: `python native/build.py`.

Each level is a library of its own, so that no function compiled for one processor can stand in for another's.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "xfeat_cli" / "native"
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

LEVELS = {
    "plain": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
    "avx512bf16": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512bf16"],
}
"""What a processor has → the compiler's options. Elsewhere than on x86 there is only the first (which uses NEON)."""

_FLAGS = ["-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"]
# No fused operation but those that the source asks for, so that float results do not depend on the compiler's mood.
_ARITHMETIC = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
_TIMEOUT_S = 300


def compiler() -> list[str] | None:
    """The command of a compiler that knows vector extensions: $CXX, or g++, clang++ or c++; None if there is none."""
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    return next(([found] for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), None)


def build(target: Path = TARGET, extra: tuple[str, ...] = ()) -> list[Path]:
    """Compile every level that the compiler can; the libraries, none if not even the plain one compiles.

    extra: options for the compiler, such as those of a sanitizer.
    """
    command = compiler()
    if command is None:
        print("xfeat: no C++ compiler found; the Python path is used", file=sys.stderr)
        return []
    levels = list(LEVELS) if platform.machine().lower() in ("x86_64", "amd64") else ["plain"]
    libraries = []
    for level in levels:
        library = target / f"libxfeat-{level}{SUFFIX}"
        if _compile(command, level, library, extra):
            libraries.append(library)
        elif level == "plain":
            return []
    return libraries


def _compile(command: list[str], level: str, library: Path, extra: tuple[str, ...]) -> bool:
    sources = [HERE / "api.cpp", *([HERE / "levels.cpp"] if level == "plain" else [])]
    # The compiler's own runtime goes into the library where it can, so that a wheel does not need the same one.
    static = [] if sys.platform == "darwin" or extra else ["-static-libstdc++", "-static-libgcc"]
    unfinished = library.with_name(f".{library.name}.{os.getpid()}")
    library.parent.mkdir(parents=True, exist_ok=True)
    call = [*command, *_FLAGS, *_ARITHMETIC, *LEVELS[level], *static, *extra, *map(str, sources), "-o", str(unfinished)]
    try:
        run = subprocess.run(call, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        reason = run.stderr.strip() if run.returncode else ""
        failed = run.returncode != 0
        if not failed:
            os.replace(unfinished, library)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason, failed = str(error), True
    finally:
        unfinished.unlink(missing_ok=True)
    if failed:
        print(f"xfeat: {library.name} is not built: {reason}", file=sys.stderr)
    return not failed


if __name__ == "__main__":
    built = build(extra=tuple(sys.argv[1:]))
    print("\n".join(str(library) for library in built))
    sys.exit(0 if built else 1)
