"""`xfeat refine` and `xfeat match --refine` as typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from xfeat_cli.cli.app import app
from xfeat_cli.demo import DemoScene, render_scene
from xfeat_cli.errors import UsageError


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    return render_scene(tmp_path_factory.mktemp("scene") / "courtyard", views=3, size=(320, 240))


def run(*arguments: object, code: int = 0):  # type: ignore[no-untyped-def]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_match_then_refine(scene: DemoScene, tmp_path: Path) -> None:
    features, pairs, matches = (tmp_path / name for name in ("out.h5", "pairs.txt", "matches.h5"))
    run("extract", scene.images, features, "--top-k", 600, "--device", "cpu", "-q")
    pairs.write_text((scene.folder / "pairs.txt").read_text())
    result = run("match", pairs, "-f", features, "-o", matches, "--device", "cpu", "--refine", scene.images)
    assert "matches in" in result.stderr
    assert (tmp_path / "refined-out.h5").exists()
    assert (tmp_path / "refined-matches.h5").exists()

    made = tmp_path / "r.h5", tmp_path / "rm.h5"
    arguments = ("refine", features, matches, "--images", scene.images, "-o", made[0], "--output-matches", made[1])
    assert "3 done" in run(*arguments).stderr
    assert "3 already there" in run(*arguments).stderr
    assert made[1].read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"
    assert not list(tmp_path.glob("*.links"))
    with pytest.raises(UsageError, match="merge"):
        run("match", pairs, "-f", features, "-o", tmp_path / "m2.h5", "--refine", scene.images, "--shard", "1/2")
    (tmp_path / "none").mkdir()
    nothing = ("refine", features, matches, "--images", tmp_path / "none", "-o", tmp_path / "x.h5")
    result = run(*nothing, "--output-matches", tmp_path / "y.h5", code=2)
    assert "nothing could be done" in result.stderr
    assert not list(tmp_path.glob("[xy].h5*"))
