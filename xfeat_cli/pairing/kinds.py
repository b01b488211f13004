"""The kinds of pairs: one table that `xfeat pairs` and `xfeat sfm` read. A new kind is a function and a row here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from xfeat_cli.errors import UsageError
from xfeat_cli.images import find_images
from xfeat_cli.pairing.config import PairConfig, PairKind
from xfeat_cli.pairing.lists import exhaustive, sequential, unique
from xfeat_cli.pairing.models import PosedImages, covisible, near_poses
from xfeat_cli.pairing.positions import exif_positions, matched_to, near_pairs, read_positions
from xfeat_cli.pairing.retrieval import loop_closures, retrieve
from xfeat_cli.types import Pair


@dataclass(frozen=True)
class PairSources:
    """What pairs are made from. A kind raises UsageError when it needs what is not here.

    names: the images that may be paired, in their order. features: what `xfeat extract` wrote. images: the folder of
    the photographs. posed: the images of a model. notes: gets a line for the user on what no pair can be made of.
    """

    names: Sequence[str] = ()
    features: Path | None = None
    images: Path | None = None
    posed: PosedImages | None = None
    notes: list[str] = field(default_factory=list)


def make_pairs(sources: PairSources, config: PairConfig) -> Iterable[Pair]:
    """Return the pairs of all kinds that the config names, each once, as they are made. Raises UsageError,
    PairsError.
    """
    made = [KINDS[kind](sources, config) for kind in config.kinds]
    return made[0] if len(made) == 1 else unique(chain.from_iterable(made))


def _exhaustive(sources: PairSources, config: PairConfig) -> Iterator[Pair]:
    return exhaustive(sources.names)


def _sequential(sources: PairSources, config: PairConfig) -> Iterable[Pair]:
    pairs = sequential(sources.names, config.overlap, config.quadratic)
    if not config.loop_closure:
        return pairs
    features = _features(sources, "loop closure")
    return unique([*pairs, *loop_closures(features, config.loop_closure, config.loop_period, config.overlap)])


def _retrieval(sources: PairSources, config: PairConfig) -> Iterator[Pair]:
    return retrieve(_features(sources, "retrieval"), config.num)


def _spatial(sources: PairSources, config: PairConfig) -> Iterator[Pair]:
    if config.positions is not None:
        positions = read_positions(config.positions)
    elif sources.images is not None:
        positions = exif_positions(find_images(sources.images))
    else:
        raise UsageError("spatial pairs need a folder of photographs with GPS, or positions=CSV")
    if sources.names:
        positions = matched_to(positions, sources.names)
    sources.notes.extend(positions.notes)
    return near_pairs(positions.places, config.num, config.distance)


def _poses(sources: PairSources, config: PairConfig) -> Iterator[Pair]:
    return near_poses(_posed(sources), config.num, config.max_angle_deg)


def _covisibility(sources: PairSources, config: PairConfig) -> Iterator[Pair]:
    return covisible(_posed(sources), config.num)


KINDS: dict[PairKind, Callable[[PairSources, PairConfig], Iterable[Pair]]] = {
    PairKind.EXHAUSTIVE: _exhaustive,
    PairKind.SEQUENTIAL: _sequential,
    PairKind.RETRIEVAL: _retrieval,
    PairKind.SPATIAL: _spatial,
    PairKind.POSES: _poses,
    PairKind.COVISIBILITY: _covisibility,
}


def _features(sources: PairSources, purpose: str) -> Path:
    if sources.features is None:
        raise UsageError(f"{purpose} compares features: give the file that `xfeat extract` writes")
    return sources.features


def _posed(sources: PairSources) -> PosedImages:
    if sources.posed is None:
        raise UsageError("pairs by poses or covisibility come from a COLMAP model; give its folder")
    return sources.posed
