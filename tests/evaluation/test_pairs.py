"""Lists of pairs against true ones, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from xfeat_cli.cli.evaluate import pairs as eval_pairs
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.pairs import score_pairs


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_recall_and_precision(tmp_path: Path) -> None:
    listed = _write(tmp_path / "listed.txt", "s/b s/a\ns/a t/a\nt/a t/b\n")
    true = _write(tmp_path / "true.txt", "s/a s/b\ns/a s/c\ns/b s/c\nt/a t/b\n")
    score = score_pairs(listed, true)
    assert (score.pairs, score.true_pairs, score.exhaustive) == (3, 4, 10)
    assert (score.recall, score.precision) == (0.5, 2 / 3)
    assert score.by_folder == {"s": 1 / 3, "t": 1.0}
    app = typer.Typer()
    app.command()(eval_pairs.pairs)
    text = CliRunner().invoke(app, [str(listed), str(true)]).stdout
    assert "recall 0.500 of 4 true pairs" in text
    assert "3 pairs, 30.0% of all 10" in text
    assert CliRunner().invoke(app, [str(listed), str(true), "--json"]).stdout.startswith('{"pairs": 3')


def test_lists_of_different_folders_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image in common"):
        score_pairs(_write(tmp_path / "a.txt", "a b\n"), _write(tmp_path / "b.txt", "s/a s/b\n"))
