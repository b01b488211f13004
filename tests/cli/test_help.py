"""Every help page is readable: no option name, choice or example is broken, at 80 and at 100 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from xfeat_cli.cli.app import app
from xfeat_cli.cli.help import write_help


def _pages(command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    yield context.command_path, command, context
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _pages(below, type(context)(below, info_name=name, parent=context))


ROOT = typer.main.get_command(app)
CONTEXT = ROOT.make_context("xfeat", [], resilient_parsing=True)
PAGES = {path: (command, context) for path, command, context in _pages(ROOT, CONTEXT)}


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("path", sorted(PAGES))
def test_a_page_is_whole(path: str, width: int) -> None:
    command, context = PAGES[path]
    page = write_help(command, context, width)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", page).splitlines()
    assert max(map(len, lines)) <= width, [line for line in lines if len(line) > width]
    assert not re.search(r"<[a-z|]+>", page), "a type stands in angle brackets"
    words = {word for line in lines for word in re.split(r"[\s,|]+", line)}
    for parameter in command.get_params(context):
        if isinstance(parameter, TyperOption) and not getattr(parameter, "hidden", False):
            assert {name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")} <= words
            record = parameter.get_help_record(context)
            choices = re.search(r"<(?:list\[)?([^<>\[\]]+\|[^<>\[\]]+)\]?>", record[0] if record else "")
            assert set(choices[1].split("|") if choices else ()) <= words
    assert command.help, f"{path} says nothing of itself"
    assert "...." not in page
    assert "list[" not in page


def test_a_page_follows_the_terminal() -> None:
    program = [sys.executable, "-m", "xfeat_cli", "extract", "--help"]
    for columns in (80, 100):
        run = subprocess.run(program, capture_output=True, text=True, check=True, env={"COLUMNS": str(columns)})
        assert columns - 12 < max(map(len, run.stdout.splitlines())) <= columns
        assert run.stdout.startswith("Usage: xfeat extract [OPTIONS] IMAGES...\n")


def test_defaults_are_whole_and_ranges_left_out() -> None:
    command, context = PAGES["xfeat export-model"]
    assert "[default: onnx]" in write_help(command, context, 100)
    command, context = PAGES["xfeat match"]
    assert "[default: as the weights ask; none if semi-dense]" in " ".join(write_help(command, context, 100).split())
