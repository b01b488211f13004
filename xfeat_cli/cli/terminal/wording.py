"""The library speaks of parameters, `overwrite=True`; the command line of options, `--overwrite`."""

from __future__ import annotations

import re
from dataclasses import fields

from xfeat_cli.config import ExtractConfig, MatchConfig
from xfeat_cli.export.config import ExportConfig
from xfeat_cli.training.config import TrainConfig

_NAMES = {
    *("allow_missing", "features", "features0", "images", "overwrite", "ray", "shard"),
    *(field.name for config in (ExportConfig, ExtractConfig, MatchConfig, TrainConfig) for field in fields(config)),
}
_PARAMETER = re.compile(rf"(?<![\w./=-])({'|'.join(sorted(_NAMES))})=(True\b|None\b|(?=\S))")


def in_options(message: str) -> str:
    """Return a message of the library with its parameters written as options."""
    return _PARAMETER.sub(_option, message)


def _option(match: re.Match[str]) -> str:
    option = "--" + match[1].replace("_", "-")
    if match[2] == "True":
        return option
    return f"no {option}" if match[2] == "None" else f"{option} "
