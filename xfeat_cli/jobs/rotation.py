"""Photographs whose up is unknown: how each is to be turned so that those that show the same match.

Features survive a turn of some thirty degrees, no quarter turn. So the features that were made of every photograph as
it stands are matched with those of its neighbour in the folder, and then of those that look alike. What holds together
that way stands alike, and in most folders that is all. Of every other group a few photographs are looked at in all four
turns, their features made anew for each and matched with those of other groups; where one turn fits, the groups are
joined. In the end the fewest photographs are turned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from xfeat_cli.coordinates import to_upright
from xfeat_cli.machine.threads import in_order, single_threaded
from xfeat_cli.matching.nearest import nearest_of_pairs, normalised
from xfeat_cli.matching.support import support
from xfeat_cli.pairing.retrieval import SAMPLED_IMAGES, Pooling, learn
from xfeat_cli.pairing.turns import Turns
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import Features

Look = Callable[[str], Iterator[Features]]
"""An image's name → its features when turned by 1, 2 and 3 quarters clockwise further than for those in the file; none
where it cannot be read."""

_FEATURES = 1024
"""The best features of an image, which are enough to tell."""

_CERTAIN_SUPPORT, _LEAST_SUPPORT = 100, 42
"""Measured on neighbours of five scenes with xfeat-v3: at the right turn 49 to 250 matches support each other, at a
wrong one at most 45, between scenes at most 25. So 100 need no comparison with other turns; fewer do, and must be twice
as many as at any other."""

_ALIKE = 4
_ASKED_OF_A_GROUP = 6
_LOOKS_OF_A_GROUP = 3
_LOOKS_AT_ONCE = 4
_CACHED_IMAGES = 256

# A look costs about two extractions. Looks end after a few, unless they find turned images: each pays for more.
_LOOKS, _IMAGES_FOR_A_LOOK, _LOOKS_FOR_A_TURN = 2, 50, 8


@dataclass(frozen=True)
class Sketch:
    """The best features of an image, upright. points (N, 2) float32; descriptors (N, D), normalised."""

    points: np.ndarray
    descriptors: Tensor

    @classmethod
    def of(cls, features: Features) -> Sketch:
        x, y = features.keypoints[:_FEATURES].T
        points = np.stack(to_upright(x, y, features.image_size, features.orientation), 1).astype(np.float32)
        return cls(points, normalised(torch.from_numpy(features.descriptors[:_FEATURES])))


class TurnFinder:
    """Finds how photographs of a features file are turned against one another.

    reader: the features of all. look: called from several threads at once. min_cossim: least cosine of a
    match. thorough: look at every photograph that stays apart, however seldom that helps. workers: threads.
    """

    def __init__(self, reader: FeaturesReader, look: Look, min_cossim: float, *, thorough: bool, workers: int) -> None:
        self._names = [name for name in reader.names() if reader.count(name)]
        self._reader = reader
        self._look = look
        self._min_cossim = min_cossim
        self._thorough = thorough
        self._workers = workers
        self._turns = Turns(len(self._names))
        self._sketch = lru_cache(_CACHED_IMAGES)(self._read)
        self._pooling: Pooling | None = None
        self._pooled = np.zeros((0, 0), np.float32)

    def find(self, settled: set[str]) -> dict[str, int]:
        """Return by how many quarters clockwise, 1 to 3, to turn which images further than they are.

        settled: images that should rather stay as they are. Raises StoreError.
        """
        with single_threaded():  # a hundred small products: threads would only wait for one another
            self._join_all()
        quarters = self._turns.quarters({i for i, name in enumerate(self._names) if name in settled})
        return {name: turn for name, turn in zip(self._names, quarters, strict=True) if turn}

    def _join_all(self) -> None:
        self._join_alike([(image, image + 1) for image in range(len(self._names) - 1)])
        if len(self._turns.groups()) > 1:
            self._describe()
            self._join_alike([pair for image in self._apart() for pair in self._lookalikes(image)])
            self._look_around()

    def _read(self, image: int) -> Sketch:
        return Sketch.of(self._reader.load(self._names[image]))

    def _support(self, one: Sketch, other: Sketch) -> int:
        matches = nearest_of_pairs([(one.descriptors, other.descriptors)], self._min_cossim, 1.0)[0]
        first, second = matches.indices.T
        return support(one.points[first], other.points[second])

    def _join_alike(self, pairs: list[tuple[int, int]]) -> None:
        """Join the groups of images that match as they stand."""

        def work(sketches: tuple[Sketch, Sketch]) -> int:
            return self._support(*sketches)

        sketches = ((self._sketch(one), self._sketch(other)) for one, other in pairs)
        for (one, other), (_, future) in zip(pairs, in_order(work, sketches, self._workers), strict=True):
            if future.result() >= _CERTAIN_SUPPORT:
                self._turns.join(one, other, 0)

    def _describe(self) -> None:
        """Describe every image as a whole, to find those that look alike."""
        count = len(self._names)
        self._pooling = learn(self._sketch(i).descriptors.numpy() for i in range(0, count, -(-count // SAMPLED_IMAGES)))
        self._pooled = np.stack([self._pooling.pool(self._sketch(i).descriptors.numpy()) for i in range(count)])

    def _apart(self) -> Iterator[int]:
        """Return some images of each group but the largest, images from its first to its last."""
        for group in self._turns.groups()[1:]:
            yield from group[:: -(-len(group) // _ASKED_OF_A_GROUP)]

    def _lookalikes(self, image: int) -> list[tuple[int, int]]:
        return [(other, image) for other in self._most_alike(image, self._pooled[image])]

    def _most_alike(self, image: int, vector: np.ndarray) -> list[int]:
        """Return the images of other groups that look most like one whose whole is described by `vector`."""
        others = np.array([i for i in range(len(self._names)) if not self._turns.joined(i, image)])
        return others[np.argsort(-(self._pooled[others] @ vector), kind="stable")[:_ALIKE]].tolist()

    def _look_around(self) -> None:
        """Look at images of the smaller groups in all turns, and join the groups that fit."""
        looked_at: set[int] = set()
        left = len(self._names) if self._thorough else _LOOKS + len(self._names) // _IMAGES_FOR_A_LOOK
        while chosen := list(islice(self._next(looked_at), min(left, _LOOKS_AT_ONCE))):
            looked_at.update(chosen)
            left -= len(chosen)
            # Groups are joined when all have been looked at: the result does not depend on who is first.
            for image, fits in [
                (image, future.result()) for image, future in in_order(self._fits, chosen, self._workers)
            ]:
                for other, quarters in fits:
                    if not self._turns.joined(other, image):
                        self._turns.join(other, image, quarters)
                        left += _LOOKS_FOR_A_TURN if quarters else 0

    def _next(self, looked_at: set[int]) -> Iterator[int]:
        """Yield an image of each group but the largest that was looked at least, among those still worth it."""
        groups = self._turns.groups()[1:]
        most = len(self._names) if self._thorough else _LOOKS_OF_A_GROUP
        seen = [sum(image in looked_at for image in group) for group in groups]
        for times, group in sorted(zip(seen, groups, strict=True), key=lambda item: item[0]):
            new = [image for image in group if image not in looked_at]
            if new and times < most:
                yield new[len(new) // 2]

    def _fits(self, image: int) -> list[tuple[int, int]]:
        """Return images of other groups, and by how many quarters this one is to be turned to stand as they do; best
        first.
        """
        sketches, fits = [], []
        for quarters, sketch in enumerate(self._in_all_turns(image)):
            sketches.append(sketch)
            fits += [(self._support(self._sketch(i), sketch), i, quarters) for i in self._candidates(image, sketch)]
            certain = [(other, turn) for found, other, turn in sorted(fits, reverse=True) if found >= _CERTAIN_SUPPORT]
            if certain:
                return certain
        best: dict[int, tuple[int, int]] = {}
        for found, other, turn in sorted(fits):
            best[other] = found, turn
        likely = [(found, other, turn) for other, (found, turn) in best.items() if found >= _LEAST_SUPPORT]

        def is_clear(found: int, other: int, turn: int) -> bool:
            rivals = (sketch for quarters, sketch in enumerate(sketches) if quarters != turn)
            return all(2 * self._support(self._sketch(other), rival) <= found for rival in rivals)

        return [(other, turn) for found, other, turn in sorted(likely, reverse=True) if is_clear(found, other, turn)]

    def _in_all_turns(self, image: int) -> Iterator[Sketch]:
        yield self._sketch(image)
        yield from map(Sketch.of, self._look(self._names[image]))

    def _candidates(self, image: int, sketch: Sketch) -> list[int]:
        """Return the images of other groups that may show what an image shows, turned as it was for the sketch."""
        assert self._pooling is not None
        if not len(sketch.points):
            return []
        near = [i for i in (image - 1, image + 1) if 0 <= i < len(self._names) and not self._turns.joined(i, image)]
        return list(dict.fromkeys([*near, *self._most_alike(image, self._pooling.pool(sketch.descriptors.numpy()))]))
