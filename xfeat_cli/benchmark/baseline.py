"""The reference path: what one runs who takes the authors' code and writes a loop around it.

Eager fp32, batch norm as a layer of its own, NCHW, one image or pair at a time, the authors' decoding
(`model.reference`), two full products to match. The files are written as hloc does, opened for each image; this is the
one place beside `store` that knows h5py, since it must not profit from ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch
from torch import Tensor

from xfeat_cli.errors import ImageError
from xfeat_cli.images import ImageFile
from xfeat_cli.model import reference
from xfeat_cli.model.network import Refiner, XFeatNetwork
from xfeat_cli.model.weights import Weights
from xfeat_cli.types import Features, Matches, PointMatches


class Baseline:
    """The authors' model. top_k, threshold: of sparse features; the defaults of ours."""

    def __init__(self, weights: Weights, device: torch.device, top_k: int, threshold: float) -> None:
        self._device = device
        self._top_k = top_k
        self._threshold = threshold
        self._min_cossim = weights.info.min_cossim
        self.network = XFeatNetwork()
        self.network.load_state_dict(weights.state, strict=False)
        self.network.eval().to(device)
        self._refiner = Refiner()
        self._refiner.load_state_dict(weights.state, strict=False)
        self._refiner.eval().to(device)

    @torch.inference_mode()
    def heads(self, gray: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map gray (1, 1, H, W), sides multiples of 32 → descriptors, logits, reliability."""
        return self.network(reference.normalise(gray))

    @torch.inference_mode()
    def sparse(self, gray: Tensor, stored_size: tuple[int, int]) -> Features:
        """Return sparse features of a gray image (H, W) on the device."""
        return reference.sparse(self.network, gray, stored_size, self._top_k, self._threshold)

    @torch.inference_mode()
    def semi_dense(self, gray: Tensor, stored_size: tuple[int, int], top_k: int) -> Features:
        """Return semi-dense features of a gray image (H, W) on the device."""
        return reference.semi_dense(self.network, gray, stored_size, top_k)

    @torch.inference_mode()
    def match(self, features0: Features, features1: Features) -> Matches:
        """Return mutual nearest neighbours from two full products."""
        d0, d1 = (torch.from_numpy(f.descriptors).to(self._device).float() for f in (features0, features1))
        best01, index01 = (d0 @ d1.T).max(1)
        _, index10 = (d1 @ d0.T).max(1)
        keep = (index10[index01] == torch.arange(len(d0), device=self._device)) & (best01 > self._min_cossim)
        first = keep.nonzero()[:, 0]
        return Matches(torch.stack([first, index01[first]], 1).int().cpu().numpy(), best01[first].cpu().numpy())

    @torch.inference_mode()
    def refine(self, features0: Features, features1: Features, matches: Matches) -> PointMatches:
        """Return refinement of the first image's points."""
        return reference.refine(self._run_refiner, features0, features1, matches)

    def extract(self, images: Iterable[ImageFile], resize: int, output: Path) -> None:
        """Write sparse features of photographs, one after another, into a new file."""
        output.unlink(missing_ok=True)
        for image in images:
            read = cv2.imread(str(image.path))
            if read is None:
                raise ImageError(f"{image.path}: OpenCV cannot read it; the benchmark needs sound photographs")
            pixels = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
            height, width = pixels.shape[:2]
            if max(height, width) > resize > 0:
                scale = resize / max(height, width)
                pixels = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
            gray = torch.from_numpy(pixels).to(self._device).float().mean(-1) / 255
            features = self.sparse(gray, (width, height))
            with h5py.File(output, "a", libver="latest") as h5:
                group = h5.create_group(image.name)
                group.create_dataset("keypoints", data=features.keypoints)
                group.create_dataset("scores", data=features.scores)
                group.create_dataset("descriptors", data=features.descriptors.T)
                group.create_dataset("image_size", data=np.array(features.image_size))

    def match_pairs(self, pairs: Iterable[tuple[str, str]], features: Path, output: Path) -> None:
        """Write matches of pairs, one after another, each reading its two images, into a new file."""
        output.unlink(missing_ok=True)
        for pair in pairs:
            with h5py.File(features, "r", libver="latest") as h5:
                one, two = (_read_features(h5[name]) for name in pair)
            found = self.match(one, two)
            matches0 = np.full(len(one), -1, np.int32)
            scores0 = np.zeros(len(one), np.float16)
            matches0[found.indices[:, 0]] = found.indices[:, 1]
            scores0[found.indices[:, 0]] = found.scores
            with h5py.File(output, "a", libver="latest") as h5:
                group = h5.create_group("/".join(name.replace("/", "-") for name in pair))
                group.create_dataset("matches0", data=matches0)
                group.create_dataset("matching_scores0", data=scores0)

    def _run_refiner(self, descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        return self._refiner(descriptors0.to(self._device), descriptors1.to(self._device)).cpu()


def _read_features(group: h5py.Group) -> Features:
    width, height = group["image_size"][()]
    return Features(
        group["keypoints"][()], group["scores"][()], group["descriptors"][()].T.astype(np.float32), (width, height)
    )
