"""Which images look alike: a global descriptor pooled from local features, and its nearest neighbours.

It needs no second network. Local descriptors are sorted by the nearest of a few words. Each word keeps how many of an
image's descriptors it has (the root of their share) and in which direction from it they lie (VLAD with
intra-normalisation: Arandjelović and Zisserman, 2013). What all images have in common is taken away, and the rest is
kept along the axes on which the images differ most. Words and axes are learned from a sample of the collection itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xfeat_cli.errors import StoreError
from xfeat_cli.files import warn_once
from xfeat_cli.pairing.neighbours import IndexArray, nearest_pairs
from xfeat_cli.pairing.present import present_names
from xfeat_cli.photo_names import natural_key
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import FloatArray, Pair

Float32Array = npt.NDArray[np.float32]

WORDS = 16
DIMENSIONS = 128
SAMPLED_IMAGES = 512
SAMPLED_DESCRIPTORS = 512
"""Most of each sampled image."""
_ROUNDS = 10
_SEED = 0


@dataclass(frozen=True)
class Pooling:
    """Learned from a collection. words: (W, D) unit; mean: (V,), V = W · (D + 1); axes: (at most DIMENSIONS, V)."""

    words: Float32Array
    mean: Float32Array
    axes: Float32Array

    def pool(self, descriptors: FloatArray) -> Float32Array:
        """Map local descriptors (N ≥ 1, D) of one image, of any norm → its global descriptor, (≤ DIMENSIONS,)
        float32.
        """
        return _unit(self.axes @ (_sorted_by_word(descriptors, self.words) - self.mean))


def learn(sample: Iterable[FloatArray]) -> Pooling:
    """Return words and axes from the local descriptors, (N ≥ 1, D) each, of some images (at least one)."""
    rng = np.random.default_rng(_SEED)
    images = [_unit(_some(image, rng)) for image in sample]
    words = _words(np.concatenate(images), rng)
    vectors = np.stack([_sorted_by_word(image, words) for image in images])
    mean = vectors.mean(axis=0)
    _, spread, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    # One axis stays whatever the sample: descriptors of length zero could not be compared.
    used = max(1, int((spread > 1e-6).sum()))
    return Pooling(words, mean, axes[: min(used, DIMENSIONS)])


def retrieve(features: Path, count: int) -> Iterator[Pair]:
    """Return each image of a features file with the `count` that look most like it; images without features have none.

    Raises StoreError.
    """
    names, vectors = _describe(features)
    return similar_pairs(names, vectors, count)


def loop_closures(features: Path, count: int, period: int, apart: int) -> Iterator[Pair]:
    """Return every `period`th image with the `count` that look most like it among those more than `apart` places away.

    The images of a features file in the order of a sequence, as of `lists.sequential`. Raises StoreError.
    """
    names, vectors = _describe(features)
    with FeaturesReader(features) as reader:
        order = {name: place for place, name in enumerate(sorted(present_names(reader), key=natural_key))}
    places = np.array([order[name] for name in names], np.int64)
    return similar_pairs(names, vectors, count, places, np.flatnonzero(places % period == 0), apart)


def similar_pairs(
    names: Sequence[str],
    vectors: Float32Array,
    count: int,
    places: IndexArray | None = None,
    queries: IndexArray | None = None,
    apart: int = 0,
) -> Iterator[Pair]:
    """Yield each image, or each of `queries`, with the `count` most similar others, best first; each pair once.

    vectors: (len(names), V) unit vectors. places: (len(names),) in a sequence; images at most `apart` places from one
    another are no pair.
    """

    def score(rows: IndexArray, columns: IndexArray) -> Float32Array:
        similarity = vectors[rows] @ vectors[columns].T
        if places is not None:
            similarity[np.abs(places[rows][:, None] - places[columns][None]) <= apart] = -np.inf
        return similarity

    for one, other in nearest_pairs(len(names), count, score, queries):
        yield names[one], names[other]


def _describe(features: Path) -> tuple[list[str], Float32Array]:
    """Return names of the images that have features, and their global descriptors (N, V)."""
    with FeaturesReader(features) as reader:
        names, lengths = [], Counter[int]()
        for name in present_names(reader):
            try:
                shape = reader.descriptor_shape(name)
            except StoreError as error:
                warn_once(f"left out: {error}")
                continue
            if shape[1]:
                names.append((name, shape[0]))
                lengths[shape[0]] += 1
        if not names:
            return [], np.zeros((0, 1), np.float32)
        usual = lengths.most_common(1)[0][0]
        for name, length in names:
            if length != usual:
                warn_once(f"left out: {features}: descriptors of {name!r} have {length} numbers, not {usual}")

        def local(name: str) -> FloatArray | None:
            try:
                return reader.load(name).descriptors
            except StoreError as error:
                warn_once(f"left out: {error}")
                return None

        alike = [name for name, length in names if length == usual]
        step = -(-len(alike) // SAMPLED_IMAGES)
        sample = (descriptors for descriptors in map(local, alike[::step]) if descriptors is not None)
        first = next(sample, None)
        if first is None:
            return [], np.zeros((0, 1), np.float32)
        pooling = learn(chain([first], sample))
        described: list[str] = []
        vectors = np.zeros((len(alike), len(pooling.axes)), np.float32)
        for name in alike:
            descriptors = local(name)
            if descriptors is not None:
                vectors[len(described)] = pooling.pool(descriptors)
                described.append(name)
    return described, vectors[: len(described)]


def _some(descriptors: FloatArray, rng: np.random.Generator) -> FloatArray:
    return descriptors[rng.choice(len(descriptors), min(SAMPLED_DESCRIPTORS, len(descriptors)), replace=False)]


def _words(descriptors: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return at most WORDS directions (W, D) around which unit descriptors (N, D) gather (k-means by cosine)."""
    words = descriptors[rng.choice(len(descriptors), min(WORDS, len(descriptors)), replace=False)]
    for _ in range(_ROUNDS):
        sums = _sums(descriptors, (descriptors @ words.T).argmax(axis=1), len(words))
        found = np.abs(sums).sum(axis=1, keepdims=True) > 0
        words = _unit(np.where(found, sums, words))
    return words


def _sorted_by_word(descriptors: FloatArray, words: Float32Array) -> Float32Array:
    """Return (W · (D + 1),): each word's share of the descriptors, its root, then the directions in which they lie from
    it.

    The direction is that of the sum of the differences; zeros where a word has no descriptor.
    """
    unit = _unit(descriptors)
    nearest = (unit @ words.T).argmax(axis=1)
    counts = np.bincount(nearest, minlength=len(words))
    directions = _unit(_sums(unit, nearest, len(words)) - counts[:, None] * words) / np.sqrt(len(words))
    return np.concatenate([np.sqrt(counts / len(unit)), directions.ravel()]).astype(np.float32)


def _sums(vectors: Float32Array, owners: npt.NDArray[np.int64], count: int) -> Float32Array:
    """Return (count, D) sums of the vectors of each owner."""
    one_hot = np.zeros((count, len(owners)), np.float32)
    one_hot[owners, np.arange(len(owners))] = 1
    return one_hot @ vectors


def _unit(vectors: FloatArray) -> Float32Array:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))
