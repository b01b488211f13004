"""A model and the features it was made of, as localisation needs them: what its images look like, and which of their
descriptors belong to which of its points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeat_cli.errors import UsageError
from xfeat_cli.matching.nearest import normalised
from xfeat_cli.pairing.retrieval import SAMPLED_IMAGES, Pooling, learn
from xfeat_cli.sfm.model import ModelCamera, ModelImage, read_sparse_model
from xfeat_cli.store.layout import SEMI_DENSE_FEATURES
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import Features

IndexArray = npt.NDArray[np.int64]

_SAME_PX = 2.0
"""An observation of the model is the features' keypoint that is nearest, at most so far: refinement moves them."""


@dataclass(frozen=True)
class MappedImage:
    """name: as in the model. descriptors: (M, D) unit, of its keypoints that have a point; points: (M,) their rows."""

    name: str
    descriptors: Tensor
    points: IndexArray


@dataclass(frozen=True)
class MappedModel:
    """points: (P, 3). vectors: (N, V) global descriptors of the N images, unit. attributes: of the features file."""

    images: list[MappedImage]
    points: npt.NDArray[np.float64]
    pooling: Pooling
    vectors: npt.NDArray[np.float32]
    cameras: list[ModelCamera]
    attributes: dict[str, object]

    def most_alike(self, descriptors: npt.NDArray, count: int) -> list[int]:
        """Return the rows of the images that look most like one with these local descriptors (N ≥ 1, D), best first."""
        likeness = self.vectors @ self.pooling.pool(descriptors)
        return np.argsort(-likeness, kind="stable")[:count].tolist()


def load_mapped_model(model: Path, features: Path) -> MappedModel:
    """Read a COLMAP model folder and the features file that it was made of. Raises SfmError, StoreError, UsageError."""
    sparse = read_sparse_model(model)
    with FeaturesReader(features) as reader:
        if reader.kind == SEMI_DENSE_FEATURES:
            raise UsageError(f"{features} holds semi-dense features; localisation needs sparse ones and their model")
        known = [image for image in sparse.images if image.name in reader and len(image.tracks)]
        if not known:
            raise UsageError(
                f"{model} and {features} have no image in common; give the features that the model was made of"
            )
        pooling = learn(reader.load(image.name).descriptors for image in known[:: -(-len(known) // SAMPLED_IMAGES)])
        images, vectors = [], []
        found = observations = 0
        for image in known:
            loaded = reader.load(image.name)
            mapped = _mapped(image, loaded)
            found += len(mapped.points)
            observations += len(image.tracks)
            images.append(mapped)
            vectors.append(pooling.pool(loaded.descriptors))
        attributes = dict(reader.attributes)
    if 2 * found < observations:
        raise UsageError(
            f"{model} was not made of {features}: of {observations} observations {observations - found} have no "
            f"keypoint there; give the features that it was made of"
        )
    cameras = [sparse.cameras[number] for number in sorted({image.camera for image in known})]
    return MappedModel(images, sparse.points, pooling, np.stack(vectors), cameras, attributes)


def _mapped(image: ModelImage, features: Features) -> MappedImage:
    """Return the keypoints that the model's observations are, each at most once."""
    keypoints, points = torch.from_numpy(features.keypoints), torch.from_numpy(image.points)
    apart = torch.cdist(points, keypoints, compute_mode="donot_use_mm_for_euclid_dist")
    distance, keypoint = (part.numpy() for part in apart.min(1))
    rows = np.flatnonzero(distance <= _SAME_PX)
    rows = rows[np.argsort(distance[rows], kind="stable")]
    _, first = np.unique(keypoint[rows], return_index=True)
    rows = rows[first]
    descriptors = torch.from_numpy(features.descriptors[keypoint[rows]])
    return MappedImage(image.name, normalised(descriptors), image.tracks[rows])
