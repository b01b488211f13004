"""What a comparison leaves in a folder: results.csv (a row a method and part), pairs.csv, settings.json, chart.png."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xfeat_cli.canvas import save_png
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.chart import draw
from xfeat_cli.evaluation.scores import PairScore, Row
from xfeat_cli.files import write_text


def write_results(
    folder: Path, rows: Sequence[Row], scores: Sequence[PairScore], settings: dict[str, Any], headline: str
) -> None:
    """Write all four. headline: the figure that the chart shows against time. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "results.csv", _table(rows))
        write_text(folder / "pairs.csv", _table(scores))
        write_text(folder / "settings.json", json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror or error})") from None
    save_png(draw(rows, headline), folder / "chart.png")


def _table(items: Sequence[Row] | Sequence[PairScore]) -> str:
    """Return one line an item; the figures of its `values` are columns of their own."""
    fields = [asdict(item) for item in items]
    flat = [{**{key: line[key] for key in line if key != "values"}, **line["values"]} for line in fields]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for line in flat for key in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()
