"""LighterGlue, the authors' small LightGlue for XFeat descriptors, through kornia. The one owner of kornia.

kornia normalises a keypoint as (p − size / 2) / (max(size) / 2), which is right for pixels counted from the corner of
the image, so ours move by half a pixel on their way in. (The network sees differences of positions only, so a common
shift changes nothing but keeps points at the border inside kornia's [−1, 1].) LighterGlue learned from upright
photographs, so it is given the points where the network saw them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfeat_cli.coordinates import to_colmap, to_upright, upright_size
from xfeat_cli.errors import UsageError
from xfeat_cli.model.lighterglue_state import DERIVED, DESCRIPTOR, HEADS, LAYERS, WIDTH
from xfeat_cli.types import Features, Matches

PRUNING = 0.95
"""The authors' `width_confidence`: points that a layer is this sure have no partner are dropped from the later ones."""

BATCH_SIZE = {"cpu": 1, "cuda": 8, "mps": 1}
"""Pairs matched at once. A batch cannot prune, for each pair would keep another number of points."""


class LighterGlue:
    """The matcher on a device.

    state: tensors as `model.lighterglue_state` names and shapes them. min_score: least probability of a match, [0, 1).
    batch_size: most pairs matched at once; 1 = with pruning. Raises UsageError when kornia is missing.
    """

    def __init__(self, state: Mapping[str, Tensor], device: torch.device, min_score: float, batch_size: int) -> None:
        try:
            from kornia.feature.lightglue import LightGlue
        except ImportError as error:
            raise UsageError(
                f"matcher=lighterglue needs kornia ({error}); install it with: pip install 'xfeat-cli[lighterglue]'"
            ) from None
        self.batch_size = batch_size
        self.pruning = PRUNING if batch_size == 1 else -1.0
        self._device = device
        self._network = LightGlue(
            None,  # type: ignore[arg-type]
            input_dim=DESCRIPTOR,
            descriptor_dim=WIDTH,
            n_layers=LAYERS,
            num_heads=HEADS,
            depth_confidence=-1,
            width_confidence=self.pruning,
            filter_threshold=min_score,
        )
        self._network.load_state_dict({DERIVED: self._network.confidence_thresholds, **state})
        self._network.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def match(self, pairs: Sequence[tuple[Features, Features]]) -> list[Matches]:
        """Return matches of at most `batch_size` pairs, in their order; scores are probabilities.

        In one call all first images have as many features as one another, and all second images.
        """
        if not pairs:
            return []
        if min(len(features) for features in pairs[0]) == 0:
            return [Matches(np.zeros((0, 2), np.int32), np.zeros(0, np.float32)) for _ in pairs]
        first, second = zip(*pairs, strict=True)
        found = self._network({"image0": self._input(first), "image1": self._input(second)})
        return [
            Matches(indices.int().cpu().numpy(), scores.float().cpu().numpy())
            for indices, scores in zip(found["matches"], found["scores"], strict=True)
        ]

    def _input(self, images: Sequence[Features]) -> dict[str, Any]:
        sizes = np.array([upright_size(features.image_size, features.orientation) for features in images], np.float32)
        points = np.stack([to_colmap(_upright_points(features)) for features in images]).astype(np.float32)
        # Points of other tools may lie outside the image, which kornia refuses.
        points = np.clip(points, 0, sizes[:, None])
        descriptors = torch.stack([torch.from_numpy(features.descriptors).float() for features in images])
        return {
            "keypoints": torch.from_numpy(points).to(self._device),
            "descriptors": F.normalize(descriptors.to(self._device), dim=2),
            "image_size": torch.from_numpy(sizes).to(self._device),
        }


def _upright_points(features: Features) -> np.ndarray:
    x, y = features.keypoints.T
    return np.stack(to_upright(x, y, features.image_size, features.orientation), 1)
