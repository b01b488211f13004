"""Random kills and mutated inputs: a small sample in `make test`, all of them in `make torture`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MUTATIONS, KILLS = 10_000, 1_000
_AT_ONCE = 1_000


def _run(program: str, *arguments: int, seconds: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE / program), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_a_sample_of_mutated_inputs() -> None:
    report = _run("mutations.py", 0, 150, seconds=300)
    assert report["faults"] == []
    assert sum(report["read"].values()) == 150


@pytest.mark.torture
@pytest.mark.parametrize("first", range(0, MUTATIONS, _AT_ONCE))
def test_mutated_inputs_of_all_kinds(first: int) -> None:
    report = _run("mutations.py", first, _AT_ONCE, seconds=3000)
    print(report)
    assert report["faults"] == []


def test_a_sample_of_random_kills() -> None:
    report = _run("kills.py", 1, seconds=300)
    assert all(about["faults"] == [] for about in report.values()), report


@pytest.mark.torture
def test_random_kills_lose_nothing_and_change_nothing() -> None:
    report = _run("kills.py", KILLS // 4, seconds=3000)
    print(report)
    assert all(about["faults"] == [] for about in report.values()), report
    assert sum(about["kills"] for about in report.values()) >= KILLS
