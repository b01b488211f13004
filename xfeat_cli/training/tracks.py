"""Photographs of scenes, and where two of them show the same points: real correspondences to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from xfeat_cli.coordinates import rescale
from xfeat_cli.errors import UsageError
from xfeat_cli.training.photos import Kept, Photos, read_kept
from xfeat_cli.training.sources import MIN_SHARED, IndexArray, Source
from xfeat_cli.types import FloatArray

_MOST_PAIRS = 10_000
_MOST_POINTS = 1000
"""Most pairs of photographs, and points of a pair, that are kept: 160 MB of coordinates at most."""

_Pair = tuple[int, int, Tensor]


class Tracks(Sequence[_Pair]):
    """Pairs of photographs that show the same points: the indices of both in `photos`, and (M, 4) float32 on the CPU,
    x, y in the first and x, y in the second, pixels of the photographs as they are kept."""

    def __init__(self, photos: Photos, pairs: Sequence[_Pair], scenes: Sequence[int]) -> None:
        """scenes: which scene each pair shows, 0 to one less than their count."""
        self.photos = photos
        self.scenes = np.array(scenes, np.int64)
        self._of_scene = [np.flatnonzero(self.scenes == scene) for scene in range(int(self.scenes.max()) + 1)]
        self._pairs = [(one, two) for one, two, _ in pairs]
        self._starts = [0, *accumulate(len(points) for _, _, points in pairs)]
        self._points = torch.cat([points for _, _, points in pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> _Pair:  # type: ignore[override]
        return (*self._pairs[index], self._points[self._starts[index] : self._starts[index + 1]])

    def draw(self, generator: Generator) -> int:
        """Return a random pair of a random scene, so that a large scene does not hide the others."""

        def random(count: int) -> int:
            return int(torch.randint(count, (1,), generator=generator, device=generator.device))

        pairs = self._of_scene[random(len(self._of_scene))]
        return int(pairs[random(len(pairs))])

    def to(self, device: torch.device) -> Tracks:
        """Return the same, with the photographs held by a device; on a CPU where other processes see them."""
        self.photos.to(device)
        self._points.share_memory_()  # type: ignore[no-untyped-call]
        return self

    def digest(self) -> str:
        """Return BLAKE2b of all pixels, pairs and points."""
        told = hashlib.blake2b(
            repr((self.photos.digest(), self._pairs, self._starts, self.scenes.tolist())).encode(), digest_size=16
        )
        told.update(self._points.numpy().tobytes())
        return told.hexdigest()


def load_tracks(
    sources: Sequence[Source],
    longest: int,
    most: int,
    seed: int,
    without: Collection[Path],
    report: Callable[[str], None],
) -> Tracks:
    """Return the pairs of some sources, of at most `most` photographs, as many of each source.

    longest: of the photographs as they are kept, px. without: resolved paths of photographs to leave out. What is
    missing or cannot be used goes to `report`. Raises UsageError when no pair is left.
    """
    random = np.random.default_rng((seed, 2))
    photos: list[Tensor] = []
    pairs: list[_Pair] = []
    scenes: list[int] = []
    for source in sources:
        used, common, own_scenes = _load(source, longest, max(2, most // len(sources)), random, without, report)
        pairs += [(one + len(photos), two + len(photos), points) for one, two, points in common]
        _, numbers = np.unique(own_scenes, return_inverse=True)
        scenes += (numbers + max(scenes, default=-1) + 1).tolist()
        photos += used
    if not pairs:
        here = sum(file.path.is_file() for source in sources for file in source.files)
        total = sum(len(source.files) for source in sources)
        raise UsageError(
            f"nothing to learn from the {total} images of {', '.join(source.described for source in sources)}: {here} "
            f"of them are there, and no two of those show {MIN_SHARED} common points; give the folder that they were "
            "made from, or more points"
        )
    return Tracks(Photos(photos), pairs, scenes)


def _load(
    source: Source,
    longest: int,
    most: int,
    random: np.random.Generator,
    without: Collection[Path],
    report: Callable[[str], None],
) -> tuple[list[Tensor], list[_Pair], list[int]]:
    """Return photographs of a source as they are kept, pairs of them, and the scene of each pair."""
    here = [file.path.is_file() for file in source.files]
    if not all(here):
        first = source.files[here.index(False)].path
        report(f"{here.count(False)} of the {len(here)} images of {source.described} are not there, such as {first}")
    allowed = np.array([file.path.is_file() and file.path.resolve() not in without for file in source.files], bool)
    usable = np.flatnonzero(allowed[source.pairs].all(1)) if len(source.pairs) else np.zeros(0, np.int64)
    chosen = _within(source.pairs, random.permutation(usable), most)
    needed = sorted(set(source.pairs[chosen].flatten().tolist()))
    kept = read_kept([source.files[i] for i in needed], longest, report)
    fitting = {i: kept[source.files[i].name] for i in needed if source.files[i].name in kept}
    for i in [i for i in fitting if source.sizes[i] not in ((0, 0), fitting[i].size)]:
        stored, stated = ("x".join(map(str, size)) for size in (fitting.pop(i).size, source.sizes[i]))
        report(f"left out: {source.files[i].path} is {stored} px, and {stated} in {source.described}")
    pairs: list[tuple[int, int, FloatArray, int]] = []
    for number in chosen.tolist():
        one, two = source.pairs[number].tolist()
        if one in fitting and two in fitting:
            points = _common(source.points(one, two), fitting[one], fitting[two], random)
            if len(points) >= MIN_SHARED:
                pairs.append((one, two, points, int(source.scenes[number])))
    used = sorted({i for one, two, _, _ in pairs for i in (one, two)})
    place = {i: number for number, i in enumerate(used)}
    return (
        [fitting[i].pixels for i in used],
        [(place[one], place[two], torch.from_numpy(points)) for one, two, points, _ in pairs],
        [scene for _, _, _, scene in pairs],
    )


def _within(pairs: IndexArray, order: IndexArray, most: int) -> IndexArray:
    """Return the first of the pairs (P, 2), in an order of some of them, that together need at most `most` images."""
    images: set[int] = set()
    chosen: list[int] = []
    for number in order.tolist():
        one, two = pairs[number].tolist()
        if len(images) + (one not in images) + (two not in images) <= most:
            images |= {one, two}
            chosen.append(number)
        if len(chosen) == _MOST_PAIRS:
            break
    return np.array(chosen, np.int64)


def _common(points: FloatArray, one: Kept, two: Kept, random: np.random.Generator) -> FloatArray:
    """Return those of the common points (M, 4) that both photographs show, at most _MOST_POINTS, pixels as they are
    kept.
    """
    places, inside = points.astype(np.float64), np.ones(len(points), bool)
    for columns, photo in ((slice(0, 2), one), (slice(2, 4), two)):
        size = np.array(photo.pixels.shape[::-1])
        places[:, columns] = rescale(places[:, columns], size / photo.shown)
        inside &= ((places[:, columns] >= -0.5) & (places[:, columns] <= size - 0.5)).all(1)
    places = places[inside].astype(np.float32)
    return places if len(places) <= _MOST_POINTS else places[np.sort(random.permutation(len(places))[:_MOST_POINTS])]
