from __future__ import annotations

from typing import Any

import pytest

from xfeat_cli.errors import UsageError
from xfeat_cli.training.config import TrainConfig


@pytest.mark.parametrize(
    "option",
    [
        {"seed": 1 << 24},
        {"seed": -1},
        {"steps": 10**20},
        {"minutes": float("nan")},
        {"minutes": float("inf")},
        {"batch": 0},
        {"processes": 10**6},
        {"photo_size": 0},
    ],
)
def test_options_beyond_their_range_are_named(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(option))} is "):
        TrainConfig(**option)
