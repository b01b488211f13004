"""XFeat features and matches for structure-from-motion: `from xfeat_cli import XFeat, extract, match, reconstruct`.

The public names load on first use, so that importing the package (and `xfeat --help`) stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xfeat_cli.version import __version__ as __version__

_HOMES = {
    "XFeat": "xfeat_cli.xfeat",
    "extract": "xfeat_cli.jobs.extract",
    "Localizer": "xfeat_cli.localization.localizer",
    "LocalizeConfig": "xfeat_cli.localization.config",
    "match": "xfeat_cli.jobs.match",
    "aggregate": "xfeat_cli.jobs.aggregate",
    "reconstruct": "xfeat_cli.jobs.sfm",
    "Features": "xfeat_cli.types",
    "Matches": "xfeat_cli.types",
    "PointMatches": "xfeat_cli.types",
    "ExtractConfig": "xfeat_cli.config",
    "MatchConfig": "xfeat_cli.config",
    "PairConfig": "xfeat_cli.pairing.config",
    "AggregateConfig": "xfeat_cli.sfm.config",
    "CameraConfig": "xfeat_cli.sfm.config",
    "VerificationConfig": "xfeat_cli.sfm.config",
    "MappingConfig": "xfeat_cli.sfm.config",
    "SfmConfig": "xfeat_cli.sfm.config",
    "TrainConfig": "xfeat_cli.training.config",
    "train": "xfeat_cli.training.run",
    "XFeatError": "xfeat_cli.errors",
}

__all__ = [
    "AggregateConfig",
    "CameraConfig",
    "ExtractConfig",
    "Features",
    "LocalizeConfig",
    "Localizer",
    "MappingConfig",
    "MatchConfig",
    "Matches",
    "PairConfig",
    "PointMatches",
    "SfmConfig",
    "TrainConfig",
    "VerificationConfig",
    "XFeat",
    "XFeatError",
    "aggregate",
    "extract",
    "match",
    "reconstruct",
    "train",
]

if TYPE_CHECKING:
    from xfeat_cli.config import ExtractConfig, MatchConfig
    from xfeat_cli.errors import XFeatError
    from xfeat_cli.jobs.aggregate import aggregate
    from xfeat_cli.jobs.extract import extract
    from xfeat_cli.jobs.match import match
    from xfeat_cli.jobs.sfm import reconstruct
    from xfeat_cli.localization.config import LocalizeConfig
    from xfeat_cli.localization.localizer import Localizer
    from xfeat_cli.pairing.config import PairConfig
    from xfeat_cli.sfm.config import AggregateConfig, CameraConfig, MappingConfig, SfmConfig, VerificationConfig
    from xfeat_cli.training.config import TrainConfig
    from xfeat_cli.training.run import train
    from xfeat_cli.types import Features, Matches, PointMatches
    from xfeat_cli.xfeat import XFeat


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
