"""The report at the end of a reconstruction, whether that came to a model or not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xfeat_cli.cli.terminal.wording import in_options
from xfeat_cli.errors import XFeatError
from xfeat_cli.sfm.config import SfmConfig

if TYPE_CHECKING:
    from xfeat_cli.jobs.summary import SfmSummary


def write_report(images: Path, output: Path, config: SfmConfig, summary: SfmSummary | None) -> str | None:
    """Return the page's path; None where no report can be made, which is said and costs nothing else.

    summary: None when the reconstruction failed.
    """
    from xfeat_cli.jobs.report import report

    run: dict[str, Any] = {"options": json.loads(json.dumps(asdict(config), default=str))}
    if summary is not None:
        run["stages"] = [asdict(stage) for stage in summary.stages]
    try:
        return report(output, images=images, run=run).page
    except XFeatError as error:
        if summary is not None:
            typer.echo(f"warning: no report: {in_options(str(error))}", err=True)
        return None
