"""The build hook: compiles the native library where a compiler is, and lets wheels carry it."""

from __future__ import annotations

import os
import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeLibrary(BuildHookInterface):
    """Without a compiler, or with XFEAT_NATIVE=off, the wheel is pure Python and works all the same."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or os.environ.get("XFEAT_NATIVE") == "off":
            return
        root = Path(self.root)
        libraries = runpy.run_path(str(root / "native" / "build.py"))["build"]()
        if libraries:
            build_data["pure_python"] = False
            # Any Python may load it, on this platform.
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
            build_data["artifacts"] += [library.relative_to(root).as_posix() for library in libraries]
