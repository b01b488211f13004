"""What a reconstruction looks like while it runs: a console for each stage in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from xfeat_cli.cli.terminal.console import JobConsole
from xfeat_cli.cli.terminal.counting import CountConsole

if TYPE_CHECKING:
    from xfeat_cli.jobs.progress import Listener

_COUNTED = {"frames": "second", "verify": "pair", "reconstruct": "image"}
"""Stages that tell how far they are, and what they count."""


class SfmProgress:
    """Gives each stage its console."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console: JobConsole | CountConsole | None = None

    def begin(self, doing: str) -> None:
        """Say what is being prepared, before anything slow is even imported."""
        if not self._quiet:
            typer.echo(f"{doing} …", err=True)

    def stage(self, name: str) -> Listener:
        self.close()
        if not self._quiet:
            typer.echo(f"{name} …", err=True)
        if name in _COUNTED:
            self._console = CountConsole(name, _COUNTED[name], quiet=self._quiet)
        else:
            unit, counted = ("image", "keypoints") if name == "extract" else ("pair", "matches")
            self._console = JobConsole(unit, counted, as_json=False, quiet=self._quiet, verbose=self._verbose)
        return self._console

    def close(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = None
