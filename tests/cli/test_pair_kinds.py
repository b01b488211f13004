"""`xfeat pairs` of the kinds that need features, positions or other lists, as typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xfeat_cli.cli import pairs as pair_kinds
from xfeat_cli.errors import PairsError
from xfeat_cli.store.layout import FEATURES, features_entry
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features

app = typer.Typer()
for command in (pair_kinds.retrieval, pair_kinds.spatial, pair_kinds.union):
    app.command()(command)


def _run(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_retrieval_spatial_and_their_union(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(2, 64))
    with Store.open(tmp_path / "out.h5", FEATURES, {}) as store:
        for name, kind in (("a1.jpg", 0), ("a2.jpg", 0), ("b1.jpg", 1), ("b2.jpg", 1)):
            descriptors = (kinds[kind] + 0.3 * rng.normal(size=(30, 64))).astype(np.float32)
            keypoints = rng.uniform(0, 100, (30, 2)).astype(np.float32)
            store.put(name, features_entry(Features(keypoints, np.ones(30, np.float32), descriptors, (100, 100))))
        store.finish()
    _run("retrieval", tmp_path / "out.h5", "--num", 1, "-o", tmp_path / "alike.txt")
    assert (tmp_path / "alike.txt").read_text() == "a1.jpg a2.jpg\nb1.jpg b2.jpg\n"
    (tmp_path / "at.csv").write_text("a1.jpg,0,0\nb1.jpg,1,0\nb2.jpg,50,0\n")
    _run("spatial", tmp_path / "at.csv", "--distance", 5, "-o", tmp_path / "near.txt")
    assert (tmp_path / "near.txt").read_text() == "a1.jpg b1.jpg\n"
    _run("union", tmp_path / "near.txt", tmp_path / "alike.txt", tmp_path / "near.txt", "-o", tmp_path / "all.txt")
    assert len((tmp_path / "all.txt").read_text().splitlines()) == 3
    with pytest.raises(PairsError, match="raise --distance"):
        _run("spatial", tmp_path / "at.csv", "--distance", 0.1, "-o", tmp_path / "none.txt")
