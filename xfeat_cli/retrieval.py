"""Which images look alike: a global descriptor pooled from local features, and its nearest neighbours.

No second network: an image's descriptor is the direction of the mean of its local descriptors. On the shared scenes it
finds as many true neighbours as second-order pooling, in 64 numbers instead of 2,080.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xfeat_cli.pairs import Pair, can_be_listed
from xfeat_cli.store import FeaturesReader
from xfeat_cli.types import FloatArray

Float32Array = npt.NDArray[np.float32]

_BLOCK = 1024
"""Images compared with as many others at once: whatever their number, memory holds one block of similarities."""


def retrieve(features: Path, count: int) -> Iterator[Pair]:
    """Each image of a features file with the `count` that look most like it; images without features have none.

    Raises StoreError.
    """
    with FeaturesReader(features) as reader:
        names = [name for name in reader.names() if can_be_listed(name)]
        vectors = np.stack([pool(reader.load(name).descriptors) for name in names]) if names else np.zeros((0, 1))
    return similar_pairs(names, vectors.astype(np.float32), count)


def pool(descriptors: FloatArray) -> Float32Array:
    """Local descriptors (N, D) of one image, of any norm → a unit vector (D,) float32; zeros when N is 0."""
    if len(descriptors) == 0:
        return np.zeros(descriptors.shape[1], np.float32)
    return _unit(_unit(descriptors).mean(axis=0, keepdims=True))[0]


def similar_pairs(names: Sequence[str], vectors: Float32Array, count: int) -> Iterator[Pair]:
    """Each image with the `count` most similar others, best first.

    vectors: (len(names), V) unit vectors; zeros match nothing.
    """
    used = np.flatnonzero(vectors.any(axis=1))
    vectors = vectors[used]
    for start in range(0, len(used), _BLOCK):
        for row, others in enumerate(_best_of_block(vectors, start, min(count, len(used) - 1)), start):
            for other in others:
                yield names[used[row]], names[used[other]]


def _best_of_block(vectors: Float32Array, start: int, count: int) -> npt.NDArray[np.int64]:
    """(rows, count) most similar others of the images in one block, best first; ties to the earlier image."""
    rows = vectors[start : start + _BLOCK]
    index = np.zeros((len(rows), 0), np.int64)
    value = np.zeros((len(rows), 0), np.float32)
    for first in range(0, len(vectors), _BLOCK):
        similarity = rows @ vectors[first : first + _BLOCK].T
        columns = np.arange(first, first + similarity.shape[1])
        similarity[columns[None] == np.arange(start, start + len(rows))[:, None]] = -np.inf
        index = np.concatenate([index, np.broadcast_to(columns, similarity.shape)], axis=1)
        value = np.concatenate([value, similarity], axis=1)
        order = np.argsort(-value, axis=1, kind="stable")[:, :count]
        index, value = np.take_along_axis(index, order, 1), np.take_along_axis(value, order, 1)
    return index


def _unit(vectors: FloatArray) -> Float32Array:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
