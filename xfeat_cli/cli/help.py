"""How help pages look: one column of options, one of what they mean, no option name or choice ever broken.

Options stand in panels, by their `rich_help_panel`. An indented paragraph of a docstring, such as an example, is shown
as it is written; every other one is wrapped.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

FEATURES, PAIRS, MATCHING, COLMAP = "Features", "Pairs", "Matching", "COLMAP"
HARDWARE, OUTPUT = "Hardware", "Output"
"""The panels; options of none of them come first, under "Options"."""

_PANELS = ("Arguments", "Options", FEATURES, PAIRS, MATCHING, COLMAP, HARDWARE, OUTPUT)
_NAMES_WIDTH = 30
_WIDEST = 100

_RANGE = re.compile(r"(; )?(-?[\d.]+<=?x([<>]=?-?[\d.]+)?|x[<>]=?-?[\d.]+)(?=\])")
"""What click says of the least and the most of a number."""

_TYPES = {"<int range>": "N", "<int>": "N", "<float range>": "X", "<float>": "X", "<path>": "PATH", "<str>": "TEXT"}


class HelpfulCommand(TyperCommand):
    """A command whose help page is laid out by `write_help`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(write_help(self, ctx, _width(formatter)))


class HelpfulGroup(TyperGroup):
    """A group of commands whose help page is laid out by `write_help`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(write_help(self, ctx, _width(formatter)))


class App(typer.Typer):
    """A typer app, all of whose pages are laid out by `write_help`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=HelpfulGroup,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST},
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST}
        return super().command(name, cls=HelpfulCommand, context_settings=context, **settings)


def write_help(command: Any, ctx: Any, width: int) -> str:
    """Return the help page of a command or a group, as text of at most `width` columns where words allow it."""
    lines = [*_usage(command, ctx, width), "", *_prose(command.help or "", width)]
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            panel = getattr(parameter, "rich_help_panel", None)
            default = "Arguments" if isinstance(parameter, TyperArgument) else "Options"
            panels.setdefault(panel or default, []).append((_names(record[0]), _meaning(record[1])))
    if isinstance(command, TyperGroup):
        for name, below in _commands(command, ctx):
            panel = getattr(below, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, below.get_short_help_str(1000)))
    for panel in sorted(panels, key=lambda name: _PANELS.index(name) if name in _PANELS else len(_PANELS)):
        lines += ["", typer.style(f"{panel}:", bold=True)]
        for names, meaning in panels[panel]:
            lines += _row(names, meaning, width)
    return "\n".join(lines) + "\n"


def _commands(group: TyperGroup, ctx: Any) -> Iterator[tuple[str, Any]]:
    """Yield the commands that are shown, in the order in which they were added."""
    for name in group.commands:
        below = group.get_command(ctx, name)
        if below is not None and not below.hidden:
            yield name, below


def _width(formatter: Any) -> int:
    return int(formatter.width)


def _usage(command: Any, ctx: Any, width: int) -> list[str]:
    usage = re.sub(r"\{([^{}]*)\}", r"\1", " ".join(command.get_usage(ctx).split()))
    usage = re.sub(r"\.{4,}", "...", usage)
    return textwrap.wrap(usage, width, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False)


def _prose(text: str, width: int) -> Iterator[str]:
    """Yield paragraphs, wrapped; indented ones as they are, without blank lines between two of them."""
    before = None
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        indented = paragraph.startswith(" ")
        if before is not None and not (before and indented):
            yield ""
        if indented:
            for line in paragraph.splitlines():
                yield from _continued(line, width)
        else:
            yield from textwrap.wrap(" ".join(paragraph.split()), width, break_on_hyphens=False)
        before = indented


def _continued(line: str, width: int) -> list[str]:
    """Return a line of an example that is too long, as a shell continues it."""
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    parts = textwrap.wrap(
        line, width - 2, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return [*(f"{part} \\" for part in parts[:-1]), parts[-1]]


def _names(names: str) -> str:
    """Return an option and what follows it, or the name of an argument."""
    if not names.startswith("-"):
        return re.sub(r"\.{4,}", "...", names.split(" <")[0])
    for kind, shown in _TYPES.items():
        names = names.replace(kind, shown)
    names = re.sub(r"<([^<>]*)>", r"\1", names)
    return re.sub(r"list\[(.*)\]", r"\1", names)


def _meaning(text: str) -> str:
    text = re.sub(r"\[default: \((.*?)\)(?=[;\]])", r"[default: \1", text)
    return " ".join(_RANGE.sub("", text).replace("[]", "").split())


def _row(names: str, meaning: str, width: int) -> Iterator[str]:
    """Yield names on the left; a row of long names has its meaning below them."""
    left = f"  {names}"
    indent = " " * _NAMES_WIDTH
    wrapped = textwrap.wrap(meaning, max(20, width - _NAMES_WIDTH), break_long_words=False, break_on_hyphens=False)
    if len(left) + 2 <= _NAMES_WIDTH and wrapped:
        yield _styled(left, names).ljust(_NAMES_WIDTH + len(_styled(left, names)) - len(left)) + wrapped.pop(0)
    else:
        yield from _choices(left, names, width)
    yield from (indent + line for line in wrapped)


def _choices(left: str, names: str, width: int) -> Iterator[str]:
    """Yield a row's left side alone; choices that no line holds are broken behind a stroke."""
    line = ""
    for part in re.findall(r"[^|]+\|?", left):
        if line and len(line) + len(part) > width:
            yield line
            line = " " * 6
        line += part
    yield _styled(line, names)


def _styled(left: str, names: str) -> str:
    return left.replace(names, typer.style(names, fg="cyan"), 1)
