"""The matchers that `jobs.match` can use, by kind. A new matcher is one file beside these and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xfeat_cli.config import MatchConfig, MatcherKind
from xfeat_cli.jobs.matchers.base import PairMatcher
from xfeat_cli.jobs.matchers.lighterglue import LighterGlueMatcher
from xfeat_cli.jobs.matchers.nearest import NearestMatcher
from xfeat_cli.jobs.matchers.readers import PairReaders

MATCHERS: Mapping[MatcherKind, Callable[[PairReaders, MatchConfig], PairMatcher]] = {
    MatcherKind.NEAREST: NearestMatcher,
    MatcherKind.LIGHTERGLUE: LighterGlueMatcher,
}
