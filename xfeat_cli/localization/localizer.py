"""Localizer: a photograph in, its pose in a model out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xfeat_cli.config import ExtractConfig, Mode
from xfeat_cli.coordinates import to_colmap
from xfeat_cli.errors import UsageError, WeightsError
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.localization.config import LocalizeConfig
from xfeat_cli.localization.intrinsics import Source, choose, parse_camera
from xfeat_cli.localization.mapped import load_mapped_model
from xfeat_cli.localization.pose import AbsolutePose, estimate, require_poselib
from xfeat_cli.matching.nearest import nearest_of_pairs, normalised
from xfeat_cli.types import Features
from xfeat_cli.xfeat import XFeat

_REFERENCE_SIDE = 640
"""Longest side, px, at which `max_error` is meant."""

_SURE = 50.0
"""Inliers beyond the least after which the confidence is 1 − 1/e."""


@dataclass(frozen=True)
class Localization:
    """Where a photograph was taken, or why that is not known.

    name: as given. pose: None if it could not be estimated; reason: why. matches: keypoints with a point of the model;
    inliers: those that agree with the pose. confidence: in [0, 1), 1 − exp(−(inliers − least) / 50), 0 without a pose.
    intrinsics: how the camera is known. retrieved: names of the model's images it was matched with. seconds: it took.
    """

    name: str
    pose: AbsolutePose | None
    reason: str
    matches: int
    inliers: int
    confidence: float
    intrinsics: Source
    retrieved: tuple[str, ...]
    seconds: float


class Localizer:
    """A model and its features, loaded once, and the network that the features were made with.

    Raises SfmError, StoreError, WeightsError, UsageError.
    """

    def __init__(
        self,
        model: str | Path,
        features: str | Path,
        config: LocalizeConfig | None = None,
        *,
        camera: str | None = None,
        weights: str | None = None,
        **options: Any,
    ) -> None:
        """model: a COLMAP model folder; features: the sparse features that it was made of. camera: of the queries, as
        `MODEL,parameters` in COLMAP's names and pixels; None = the model's where the size tells it, else EXIF, else
        guessed. weights: a file, if those that the features name are elsewhere. options: fields of `LocalizeConfig`.
        """
        require_poselib()
        self.config = replace(config or LocalizeConfig(), **options)
        self._given = None if camera is None else parse_camera(camera)
        self._map = load_mapped_model(Path(model), Path(features))
        self._rows = {image.name: row for row, image in enumerate(self._map.images)}
        self.xfeat = _network(self._map.attributes, Path(features), weights, self.config.device)
        threshold = self.config.min_cossim
        self._threshold = self.xfeat.runtime.info.min_cossim if threshold is None else threshold

    @property
    def images(self) -> list[str]:
        """Return names of the model's images that queries can be matched with."""
        return list(self._rows)

    def localize(
        self,
        image: str | Path | npt.NDArray,
        references: Sequence[str] | None = None,
        *,
        without: str | None = None,
        name: str | None = None,
    ) -> Localization:
        """Return the pose of a photograph: a file, or its pixels as `XFeat.detect` takes them.

        references: names of the model's images to match with, instead of those that look most like it. without: name of
        one that is not to be used. name: in the result, in place of the file's. Raises ImageError, UsageError.
        """
        started = time.perf_counter()
        if isinstance(image, (str, Path)):
            path = Path(image)
            photo = read_photo(ImageFile(path.name, path), self.xfeat.config.resize)
            features = self.xfeat.detect_photos([photo])[0]
        else:
            path = None
            features = self.xfeat.detect(image)
        shown = name or (str(image) if path is not None else "")
        camera, source = choose(features.image_size, self._given, self._map.cameras, path)
        rows = self._references(features, references, without)
        keypoints, points = self._matched(features, rows)
        matched = len(np.unique(keypoints))
        scale = max(1.0, max(features.image_size) / _REFERENCE_SIDE)
        pose = estimate(
            to_colmap(features.keypoints[keypoints].astype(float)),
            self._map.points[points],
            camera,
            self.config.max_error * scale,
            self.config.seed,
            focal_known=source is not Source.GUESSED,
        )
        inliers = 0 if pose is None else len(np.unique(keypoints[pose.inliers]))
        reason = ""
        if inliers < self.config.min_inliers:
            pose = None
            reason = f"{inliers} of {matched} matches agree on a pose; {self.config.min_inliers} are needed"
        return Localization(
            shown,
            pose,
            reason,
            matched,
            inliers,
            0.0 if pose is None else 1 - math.exp(-(inliers - self.config.min_inliers) / _SURE),
            source,
            tuple(self._map.images[row].name for row in rows),
            time.perf_counter() - started,
        )

    def _references(self, features: Features, names: Sequence[str] | None, without: str | None) -> list[int]:
        if names is None:
            count = self.config.retrieved
            rows = self._map.most_alike(features.descriptors, count + 1) if len(features) else []
            return [row for row in rows if self._map.images[row].name != without][:count]
        unknown = [name for name in names if name not in self._rows]
        if unknown:
            raise UsageError(f"{unknown[0]} is not an image of the model with features")
        return [self._rows[name] for name in names]

    def _matched(self, features: Features, rows: list[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return keypoints and rows of points that they show (K,) each, every pair of them once."""
        query = normalised(torch.from_numpy(features.descriptors))
        images = [self._map.images[row] for row in rows]
        matches = nearest_of_pairs([(query, image.descriptors) for image in images], self._threshold, 1.0)
        pairs = [
            np.column_stack([one.indices[:, 0], image.points[one.indices[:, 1]]])
            for one, image in zip(matches, images, strict=True)
        ]
        unique = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *pairs]), axis=0)
        return unique[:, 0], unique[:, 1]


def _network(attributes: dict[str, Any], features: Path, weights: str | None, device: str) -> XFeat:
    """Return the network and options of detection that a features file was made with."""
    if "xfeat_weights_sha256" not in attributes:
        raise UsageError(f"{features} was not made by `xfeat extract`, so its queries cannot be extracted alike")
    stated = {field.name for field in fields(ExtractConfig)} & {
        *("top_k", "resize", "detection_threshold", "grids", "decoding", "rotations"),
    }
    options = {name: attributes[f"xfeat_{name}"] for name in stated if f"xfeat_{name}" in attributes}
    if "xfeat_upright" in attributes:
        options["upright"] = attributes["xfeat_upright"] == "yes"
    try:
        xfeat = XFeat(weights=weights or attributes["xfeat_weights"], mode=Mode.SPARSE, device=device, **options)
    except WeightsError as error:
        raise WeightsError(f"{error}; {features} was made with them: give them as weights=PATH") from None
    if xfeat.runtime.info.sha256 != attributes["xfeat_weights_sha256"]:
        raise UsageError(f"{features} was made with other weights than {xfeat.runtime.info.path}; give those")
    return xfeat
