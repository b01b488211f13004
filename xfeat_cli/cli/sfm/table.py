"""How a reconstruction is shown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xfeat_cli.jobs.summary import SfmSummary, StageSummary
    from xfeat_cli.sfm.georegistration import GeoRegistration

_SHOWN_PROBLEMS = 20
_SHOWN_REASONS = 3


def print_table(summary: SfmSummary, waited_seconds: float | None = None) -> None:
    """Print stages, their times and results, the model and what was left out, on stderr.

    waited_seconds: by the user; None: the stages alone.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(summary.output), title_justify="left")
    for heading in ("stage", "time", "result"):
        table.add_column(heading, justify="right" if heading == "time" else "left")
    for stage in summary.stages:
        table.add_row(stage.name, "reused" if stage.reused else f"{stage.seconds:.1f} s", escape(_sentence(stage)))
    seconds = sum(stage.seconds for stage in summary.stages) if waited_seconds is None else waited_seconds
    table.add_row("all", f"{seconds:.1f} s", "" if waited_seconds is None else "with loading and the report")
    table.add_section()
    model = summary.model
    if model is not None:
        table.add_row("registered", "", f"{model.registered} of {model.images} images")
        table.add_row("points", "", f"{model.points:,}")
        table.add_row("mean track length", "", f"{model.mean_track_length:.2f}")
        table.add_row("reprojection error", "", f"{model.reprojection_px:.3f} px")
        if model.georegistration is not None:
            table.add_row("position", "", escape(_place(model.georegistration)))
        others = f" (largest of {model.models} models)" if model.models > 1 else ""
        table.add_row("model", "", escape(model.folder) + others)
    for problem in summary.problems[:_SHOWN_PROBLEMS]:
        table.add_row("left out", "", escape(problem))
    if len(summary.problems) > _SHOWN_PROBLEMS:
        table.add_row("left out", "", f"and {len(summary.problems) - _SHOWN_PROBLEMS} more")
    Console(stderr=True).print(table)


def _sentence(stage: StageSummary) -> str:
    """Say what came out of a stage, in words; numbers that no case names stand with their own names."""
    match stage.result:
        case {"already_there": already_there} if stage.reused:
            return f"{already_there:,} already there"
        case {"matches": matches, "kept_share": share, "displacement_px": moved}:
            return f"{matches:,} matches, {share:.1%} kept, moved {moved:.2f} px"
        case {"matches": matches, "refined_pairs": pairs, "moved_px": moved}:
            return f"{matches:,} matches, {pairs:,} pairs refined, keypoints moved {moved:.2f} px"
        case {"keypoints": keypoints, "done": _}:
            return f"{keypoints:,} keypoints"
        case {"matches": matches, "done": _}:
            return f"{matches:,} matches"
        case {"verified": verified, "pairs": pairs, "inliers": inliers, "matches": matches}:
            return f"{verified:,} of {pairs:,} pairs, {inliers:,} of {matches:,} matches"
        case {"groups": groups, "images": images, "pairs": pairs, "matches": matches}:
            return f"{images:,} images of {_cameras(groups)}; {pairs:,} pairs with {matches:,} matches"
        case {"registered": registered, "images": images}:
            return f"{registered} of {images} images"
        case result:
            return ", ".join(f"{_number(value)} {name.replace('_', ' ')}" for name, value in result.items())


def _place(moved: GeoRegistration) -> str:
    """Return where the model lies, and how far its cameras are from the positions that are known."""
    if moved.problem:
        return f"a frame of its own: {moved.problem}"
    deviation = f"{moved.median:,.2f} m off in the median of {moved.images} positions, {moved.largest:,.2f} m at most"
    if moved.origin is None:
        return f"that of the positions, {deviation} ({moved.worst})"
    at = f"{moved.origin['latitude']:.6f}, {moved.origin['longitude']:.6f}, {moved.origin['altitude']:.0f} m"
    return f"metres east, north, up of {at}; {deviation} ({moved.worst})"


def _cameras(groups: list[dict[str, Any]]) -> str:
    """Return how many cameras there are, and why, where that is soon said."""
    if len(groups) == 1:
        return f"1 camera ({groups[0]['why']})"
    reasons = Counter(str(group["why"]) for group in groups)
    said = "; ".join(f"{count}: {why}" for why, count in reasons.most_common(_SHOWN_REASONS))
    return f"{len(groups):,} cameras ({said}{'; …' if len(reasons) > _SHOWN_REASONS else ''})"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)
