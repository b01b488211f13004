"""How a reconstruction is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xfeat_cli.jobs.sfm import SfmSummary

_SHOWN_PROBLEMS = 20


def print_table(summary: SfmSummary) -> None:
    """Stages, their times and results, the model and what was left out, on stderr."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(summary.output), title_justify="left")
    for heading in ("stage", "time", "result"):
        table.add_column(heading, justify="right" if heading == "time" else "left")
    for stage in summary.stages:
        table.add_row(stage.name, "reused" if stage.reused else f"{stage.seconds:.1f} s", stage.result)
    if not any(stage.reused for stage in summary.stages):
        table.add_row("all", f"{sum(stage.seconds for stage in summary.stages):.1f} s", "")
    table.add_section()
    model = summary.model
    if model is not None:
        table.add_row("registered", "", f"{model.registered} of {model.images} images")
        table.add_row("points", "", f"{model.points:,}")
        table.add_row("mean track length", "", f"{model.mean_track_length:.2f}")
        table.add_row("reprojection error", "", f"{model.reprojection_px:.3f} px")
        others = f" (largest of {model.models} models)" if model.models > 1 else ""
        table.add_row("model", "", escape(model.folder) + others)
    for problem in summary.problems[:_SHOWN_PROBLEMS]:
        table.add_row("left out", "", escape(problem))
    if len(summary.problems) > _SHOWN_PROBLEMS:
        table.add_row("left out", "", f"and {len(summary.problems) - _SHOWN_PROBLEMS} more")
    Console(stderr=True).print(table)
