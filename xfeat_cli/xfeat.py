"""XFeat: images in, Features out. The Python API that ties network and decoding together."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, overload

import cv2
import numpy as np
import numpy.typing as npt
import torch

from xfeat_cli.config import Backend, Decoding, ExtractConfig, MatchConfig, MatcherKind, Mode, Precision
from xfeat_cli.coordinates import from_upright, rescale, upright_pixels, upright_size
from xfeat_cli.decoding import to_gray
from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.images import Photo
from xfeat_cli.machine.devices import resolve_device, resolve_precision
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order, single_threaded
from xfeat_cli.matching.lighterglue import LighterGlue
from xfeat_cli.matching.nearest import mutual_nearest
from xfeat_cli.matching.refine import refine
from xfeat_cli.model import decode, reference, weights
from xfeat_cli.model.backends import DTYPES
from xfeat_cli.model.decode import Decoded
from xfeat_cli.model.download import MATCHER_WEIGHTS
from xfeat_cli.model.labels import LABELS
from xfeat_cli.model.refiner import BlockedRefiner
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.tiles import cells_in_tiles, sparse_in_tiles
from xfeat_cli.types import Features, Matches, PointMatches


class XFeat:
    """The network with its weights, ready to detect and to match.

    `XFeat()` uses the shipped weights and every default; `XFeat(top_k=2000, mode="semi-dense")` changes some.

    Args:
        config: how features are made.
        runtime: a network to use instead of the one that weights, device, precision and backend describe.
        **options: fields of `ExtractConfig`, in place of those of `config`.

    Raises:
        WeightsError: the weights are missing, damaged, or lack the refiner that semi-dense features need.
        UsageError: an option is out of its range, or the device is not there.
    """

    def __init__(self, config: ExtractConfig | None = None, *, runtime: Runtime | None = None, **options: Any) -> None:
        self.config = replace(config or ExtractConfig(), **options)
        self.runtime = runtime or _runtime(self.config)
        if self.config.mode is Mode.SEMI_DENSE:
            self.runtime.require_refiner()
        self.batch_size = self.config.batch_size or self.runtime.batch_size
        self._matcher: tuple[tuple[str, str | None, float], LighterGlue] | None = None

    def with_options(self, **options: Any) -> XFeat:
        """Return the same network with other options of detection: mode, top_k, resize, detection_threshold or
        grids.
        """
        other = copy(self)
        other.config = replace(self.config, **options)
        return other

    @overload
    def detect(self, images: npt.NDArray) -> Features: ...
    @overload
    def detect(self, images: Sequence[npt.NDArray]) -> list[Features]: ...
    def detect(self, images: npt.NDArray | Sequence[npt.NDArray]) -> Features | list[Features]:
        """Return features of one image, or of each image of a batch.

        The result for an image does not depend on the others. On a CPU an image has one thread, and several images
        share the cores.

        Args:
            images: (H, W), (H, W, 3) or (H, W, 4), uint8, uint16, or float in [0, 1]; or a sequence of such images, or
                an array (B, H, W, 3).

        Returns:
            Features whose keypoints are (x, y) pixels of the given image, (0, 0) at the centre of its top-left pixel;
            a list of them for a batch.

        Raises:
            ImageError: an image has another shape or type, or is too large for the GPU.
        """
        if isinstance(images, np.ndarray) and images.ndim < 4:
            return self.detect_photos([_photo(0, images, self.config.resize)])[0]
        photos = [_photo(i, image, self.config.resize) for i, image in enumerate(images)]
        if self.runtime.device.type == "cpu":
            each = in_order(lambda photo: self.detect_photos([photo])[0], photos, min(usable_cores(), len(photos) or 1))
            return [future.result() for _, future in each]
        results: dict[int, Features] = {}
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, photo in enumerate(photos):
            by_size.setdefault(photo.gray.shape, []).append(i)
        for members in by_size.values():
            results.update(zip(members, self.detect_photos([photos[i] for i in members]), strict=True))
        return [results[i] for i in range(len(photos))]

    def match(
        self, features0: Features, features1: Features, config: MatchConfig | None = None, **options: Any
    ) -> Matches | PointMatches:
        """Match the features of two images as `xfeat match` does.

        Args:
            features0, features1: what `detect` or a features file gave; both sparse, or both semi-dense.
            config: how features are matched; the device and precision `auto` are those of this XFeat's network.
            **options: fields of `MatchConfig`, in place of those of `config`.

        Returns:
            Indices of sparse features, by mutual nearest neighbours or by LighterGlue; coordinates of semi-dense ones,
            refined at both ends.

        Raises:
            UsageError: the options cannot work together, or kornia is missing.
            WeightsError: the weights lack a refiner, or cannot be read.
        """
        config = replace(config or MatchConfig(), **options)
        device = self.runtime.device if config.device == "auto" else resolve_device(config.device)
        semi_dense = features0.scales is not None
        if config.matcher is MatcherKind.LIGHTERGLUE:
            if semi_dense:
                raise UsageError("semi-dense features cannot be matched by LighterGlue: use matcher=nearest")
            return self._lighterglue(device, config).match([(features0, features1)])[0]
        threshold = config.min_cossim
        if threshold is None:
            threshold = -1.0 if semi_dense else self.runtime.info.min_cossim
        precision = resolve_precision(config.precision, device)
        matches = mutual_nearest(
            torch.from_numpy(features0.descriptors).to(device),
            torch.from_numpy(features1.descriptors).to(device),
            threshold,
            config.ratio,
            DTYPES[precision],
        )
        if not semi_dense:
            return matches
        if config.weights is None:
            refiner, labels = self.runtime.refine, self.runtime.labels
        else:
            loaded = weights.load(config.weights)
            refiner, labels = BlockedRefiner(loaded, device, precision), LABELS[loaded.info.refiner_labels]
        return refine(refiner, features0, features1, matches, config.min_confidence, labels)

    def _lighterglue(self, device: torch.device, config: MatchConfig) -> LighterGlue:
        """Return the matcher of some weights, kept for further pairs."""
        key = (str(device), config.weights, config.min_score)
        if self._matcher is None or self._matcher[0] != key:
            state = weights.load_matcher(config.weights or MATCHER_WEIGHTS).state
            self._matcher = key, LighterGlue(state, device, config.min_score, batch_size=1)
        return self._matcher[1]

    def detect_photos(self, photos: Sequence[Photo]) -> list[Features]:
        """Return features of photographs of one gray size, on the calling thread alone.

        On a GPU, in batches of at most `batch_size`; where its memory does not hold one, that is halved from then on.
        """
        if self.runtime.device.type == "cpu":
            # The kernels that torch picks, and so the last bits, depend on the batch; on a CPU a batch gains nothing.
            with single_threaded():
                return [features for photo in photos for features in self._detect([photo])]
        found: list[Features] = []
        while len(found) < len(photos):
            batch = photos[len(found) : len(found) + self.batch_size]
            try:
                found += self._detect(batch)
                continue
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise _too_large(batch[0]) from None
            # Not while the error is handled, since that holds on to the tensors of the failed call.
            self.batch_size = len(batch) // 2
            torch.cuda.empty_cache()
        return found

    @torch.inference_mode()
    def _detect(self, photos: Sequence[Photo]) -> list[Features]:
        if self.config.decoding is Decoding.REFERENCE:
            return [_without_masked(self._detect_reference(photo), photo.mask) for photo in photos]
        if side := self.config.tile_side(*photos[0].gray.shape):
            return [self._detect_in_tiles(photo, side) for photo in photos]
        gray = self.runtime.upload([photo.gray for photo in photos])
        size = (gray.shape[1], gray.shape[2])
        masks = _network_masks(photos, size)
        mask = None if masks is None else self.runtime.upload(masks)
        top_k = self.config.features_per_image
        if self.config.mode is Mode.SPARSE:
            heads = self.runtime.sparse_heads(decode.prepare(gray), self.config.grids)
            decoded = decode.sparse(heads, size, top_k, self.config.detection_threshold, mask)
        else:
            passes = [self.runtime.cells(decode.prepare(decode.scaled(gray, s))) for s in decode.semi_dense_sizes(size)]
            decoded = decode.semi_dense(passes, size, top_k, self.runtime.labels.reference, mask)
        return [
            _without_masked(_to_stored(one, size, photo), photo.mask)
            for one, photo in zip(decoded, photos, strict=True)
        ]

    def _detect_in_tiles(self, photo: Photo, side: int) -> Features:
        size, top_k = (photo.gray.shape[0], photo.gray.shape[1]), self.config.features_per_image
        masks = _network_masks([photo], size)
        if self.config.mode is Mode.SPARSE:
            threshold = self.config.detection_threshold
            mask = None if masks is None else masks[0]
            one = sparse_in_tiles(self.runtime, photo.gray, side, self.config.grids, top_k, threshold, mask)
        else:
            gray = self.runtime.upload([photo.gray])
            passes = [cells_in_tiles(self.runtime, decode.scaled(gray, s), side) for s in decode.semi_dense_sizes(size)]
            uploaded = None if masks is None else self.runtime.upload(masks)
            (one,) = decode.semi_dense(passes, size, top_k, self.runtime.labels.reference, uploaded)
        return _without_masked(_to_stored(one, size, photo), photo.mask)

    def _detect_reference(self, photo: Photo) -> Features:
        gray = torch.from_numpy(photo.gray).to(self.runtime.device)
        top_k = self.config.features_per_image
        shown = upright_size(photo.shown, photo.orientation)
        try:
            if self.config.mode is Mode.SPARSE:
                threshold = self.config.detection_threshold
                features = reference.sparse(self.runtime.heads, gray, shown, top_k, threshold)
            else:
                features = reference.semi_dense(self.runtime.heads, gray, shown, top_k)
        except ImageError as error:
            raise ImageError(f"{photo.name}: {error}") from None
        return _as_stored(features, photo)


def _runtime(config: ExtractConfig) -> Runtime:
    loaded = weights.load(config.weights)
    if config.decoding is Decoding.REFERENCE:
        return Runtime(loaded, config.device, Precision.FP32, Backend.TORCH)
    return Runtime(loaded, config.device, config.precision, config.backend)


def _photo(index: int, image: npt.NDArray, resize: int) -> Photo:
    gray = to_gray(np.asarray(image), resize)
    size = (image.shape[1], image.shape[0])
    return Photo(str(index), gray, size, size)


def _too_large(photo: Photo) -> ImageError:
    height, width = photo.gray.shape
    return ImageError(f"{photo.name}: out of GPU memory at {width}x{height}; use a smaller resize or device=cpu")


def _network_masks(photos: Sequence[Photo], size: tuple[int, int]) -> list[npt.NDArray[np.bool_]] | None:
    """Return the photographs' masks at network size, (H, W) each; None if no photograph has one."""
    if all(photo.mask is None for photo in photos):
        return None
    masks = []
    for photo in photos:
        if photo.mask is None:
            masks.append(np.ones(size, bool))
            continue
        width, height = photo.shown
        shown = upright_pixels(photo.mask[:height, :width], photo.orientation).astype(np.uint8)
        masks.append(cv2.resize(shown, size[::-1], interpolation=cv2.INTER_NEAREST) > 0)
    return masks


def _without_masked(features: Features, mask: npt.NDArray[np.bool_] | None) -> Features:
    """Drop the keypoints that lie on the black of a mask at stored size."""
    if mask is None:
        return features
    height, width = mask.shape
    x, y = np.rint(features.keypoints).astype(int).T
    keep = mask[y.clip(0, height - 1), x.clip(0, width - 1)]
    return replace(
        features,
        keypoints=features.keypoints[keep],
        scores=features.scores[keep],
        descriptors=features.descriptors[keep],
        scales=None if features.scales is None else features.scales[keep],
    )


def _to_stored(decoded: Decoded, size: tuple[int, int], photo: Photo) -> Features:
    shown = upright_size(photo.shown, photo.orientation)
    stretch = decoded.points.new_tensor([shown[0] / size[1], shown[1] / size[0]])
    scales = None if decoded.scales is None else (decoded.scales * stretch.mean()).cpu().numpy()
    features = Features(
        rescale(decoded.points, stretch).cpu().numpy(),  # type: ignore[arg-type]
        decoded.scores.cpu().numpy(),
        decoded.descriptors.cpu().numpy(),
        shown,
        scales,
    )
    return _as_stored(features, photo)


def _as_stored(features: Features, photo: Photo) -> Features:
    """Map features of what a photograph shows upright → those of the photograph as it is stored."""
    x, y = from_upright(features.keypoints[:, 0], features.keypoints[:, 1], photo.shown, photo.orientation)
    return replace(features, keypoints=np.stack([x, y], 1), image_size=photo.size, orientation=photo.orientation)
