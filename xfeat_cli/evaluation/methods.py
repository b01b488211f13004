"""What a comparison compares: ways to get from two photographs to matched points, each under one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch

from xfeat_cli.config import ExtractConfig, MatchConfig, Mode
from xfeat_cli.errors import UsageError, WeightsError
from xfeat_cli.evaluation import opencv_features
from xfeat_cli.images import Photo
from xfeat_cli.matching.lighterglue import LighterGlue
from xfeat_cli.model import weights
from xfeat_cli.types import Features, FloatArray, PointMatches
from xfeat_cli.xfeat import XFeat

OURS = ("sparse", "semi-dense", "lighterglue")
CLASSICAL = ("sift", "orb")

_LIGHTERGLUE_MIN_SCORE = 0.1

Points = tuple[FloatArray, FloatArray]
"""Matched points (M, 2) of the first and the second photograph, stored-image pixels."""


@dataclass(frozen=True)
class Method:
    """name: in tables. detect: a photograph → its features. match: the features of two → matched points.

    made_with: decides the features; methods in which it is equal share them. resize: longest side in px that `detect`
    is given. concurrent: whether several threads may use it at once.
    """

    name: str
    detect: Callable[[Photo], Features]
    match: Callable[[Features, Features], Points]
    made_with: dict[str, str | int | float]
    resize: int
    concurrent: bool = True


@dataclass(frozen=True)
class CompareConfig:
    """What is compared.

    weights: of the network. only: names of OURS; empty = all that the weights and what is installed allow.
    against: sift, orb, and names or files of other weights, whose sparse features are matched.
    top_k: most features of an image, for every method; None = 4096, and 10,000 semi-dense.
    resize: longest side in px at which every method sees the images; 0 = as they are.
    min_cossim: least cosine of a sparse match; None = what the weights ask for.
    seeds: runs of the robust estimator to average.
    """

    weights: str = "default"
    only: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    top_k: int | None = None
    resize: int = ExtractConfig.resize
    min_cossim: float | None = None
    seeds: int = 3
    device: str = "auto"

    def __post_init__(self) -> None:
        unknown = set(self.only) - set(OURS)
        if unknown:
            raise UsageError(f"{', '.join(sorted(unknown))}: no method of that name; there are {', '.join(OURS)}")
        if self.seeds < 1:
            raise UsageError(f"seeds is {self.seeds}; it must be at least 1")


def methods(config: CompareConfig) -> list[Method]:
    """Return the methods that a comparison asks for. Raises UsageError, WeightsError for one that it names but cannot
    have.
    """
    sparse = _network(config, config.weights, Mode.SPARSE)
    made: dict[str, Callable[[], Method]] = {
        "sparse": lambda: _by_network("sparse", sparse, config.min_cossim),
        "semi-dense": lambda: _by_network("semi-dense", _network(config, config.weights, Mode.SEMI_DENSE), None),
        "lighterglue": lambda: _by_lighterglue(sparse),
    }
    can_have = {
        "sparse": True,
        "semi-dense": sparse.runtime.info.has_refiner,
        "lighterglue": _has_lighterglue(),
    }
    ours = [made[name]() for name in OURS if (name in config.only if config.only else can_have[name])]
    return [*ours, *(_other(name, config) for name in config.against)]


def _other(name: str, config: CompareConfig) -> Method:
    if name == "sift":
        return _by_opencv(name, opencv_features.sift, opencv_features.match_sift, config)
    if name == "orb":
        return _by_opencv(name, opencv_features.orb, opencv_features.match_orb, config)
    network = _network(config, name, Mode.SPARSE)
    return _by_network(network.runtime.info.name, network, config.min_cossim)


def _network(config: CompareConfig, weights_name: str, mode: Mode) -> XFeat:
    return XFeat(weights=weights_name, mode=mode, top_k=config.top_k, resize=config.resize, device=config.device)


def _by_network(name: str, xfeat: XFeat, min_cossim: float | None) -> Method:
    matching = MatchConfig(min_cossim=min_cossim)

    def match(features0: Features, features1: Features) -> Points:
        matches = xfeat.match(features0, features1, matching)
        if isinstance(matches, PointMatches):
            return matches.points0, matches.points1
        return _matched(features0, features1, matches.indices)

    return Method(
        name,
        lambda photo: xfeat.detect_photos([photo])[0],
        match,
        _made_with(xfeat),
        xfeat.config.resize,
        xfeat.runtime.device.type == "cpu",
    )


def _by_lighterglue(xfeat: XFeat) -> Method:
    loaded = weights.load_matcher("lighterglue")
    network = LighterGlue(loaded.state, xfeat.runtime.device, _LIGHTERGLUE_MIN_SCORE, batch_size=1)

    def match(features0: Features, features1: Features) -> Points:
        [matches] = network.match([(features0, features1)])
        return _matched(features0, features1, matches.indices)

    return replace(_by_network("lighterglue", xfeat, None), match=match)


def _has_lighterglue() -> bool:
    """Return whether its weights are downloaded and kornia, which runs it, is installed."""
    try:
        weights.locate("lighterglue")
    except WeightsError:
        return False
    return find_spec("kornia") is not None


def _by_opencv(
    name: str,
    detect: Callable[[Photo, int], Features],
    match: Callable[[Features, Features], Any],
    config: CompareConfig,
) -> Method:
    top_k = replace(ExtractConfig(), top_k=config.top_k).features_per_image
    return Method(
        name,
        lambda photo: detect(photo, top_k),
        lambda features0, features1: _matched(features0, features1, match(features0, features1)),
        {"features": name, "top_k": top_k, "resize": config.resize},
        config.resize,
    )


def _matched(features0: Features, features1: Features, indices: Any) -> Points:
    first, second = indices.T
    return features0.keypoints[first], features1.keypoints[second]


def _made_with(xfeat: XFeat) -> dict[str, str | int | float]:
    config, info = xfeat.config, xfeat.runtime.info
    return {
        "weights": info.name,
        "weights_sha256": info.sha256,
        "mode": config.mode.value,
        "top_k": config.features_per_image,
        "resize": config.resize,
        "detection_threshold": config.detection_threshold,
        "grids": config.grids,
        "precision": xfeat.runtime.precision.value,
        "backend": xfeat.runtime.backend.value,
        "torch": str(torch.__version__),
    }
