"""Who does the work of a command: this process, one part of it, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import typer

from xfeat_cli.cli.terminal.wording import in_options
from xfeat_cli.errors import UsageError, one_line

if TYPE_CHECKING:
    from xfeat_cli.jobs.progress import Summary

Runner = Callable[..., "Summary"]


def extract_runner(shard: str | None, ray: str | None) -> Runner:
    """Return what extracts, as `--shard` and `--ray` ask. Raises UsageError for both."""
    _not_both(shard, ray)
    if shard is not None:
        from xfeat_cli.scale.shards import Shard, extract_shard

        return partial(extract_shard, shard=Shard.parse(shard))
    if ray is not None:
        from xfeat_cli.scale.on_ray import extract_on_ray

        return partial(extract_on_ray, address=ray, note=_note)
    from xfeat_cli.jobs.extract import extract

    return extract


def match_runner(shard: str | None, ray: str | None) -> Runner:
    """Return what matches; as `extract_runner`."""
    _not_both(shard, ray)
    if shard is not None:
        from xfeat_cli.scale.shards import Shard, match_shard

        return partial(match_shard, shard=Shard.parse(shard))
    if ray is not None:
        from xfeat_cli.scale.on_ray import match_on_ray

        return partial(match_on_ray, address=ray, note=_note)
    from xfeat_cli.jobs.match import match

    return match


def _not_both(shard: str | None, ray: str | None) -> None:
    if shard is not None and ray is not None:
        raise UsageError("--shard and --ray exclude each other: a cluster cuts the work itself; give one of them")


def _note(text: str) -> None:
    typer.echo(one_line(in_options(text)), err=True)
