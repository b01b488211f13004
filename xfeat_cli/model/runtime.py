"""How the network is run: device, precision, and which library computes it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xfeat_cli.config import Backend, Precision
from xfeat_cli.machine.devices import resolve_device
from xfeat_cli.machine.memory import keep_freed_memory
from xfeat_cli.model.backends import BACKENDS, NetworkRunner
from xfeat_cli.model.calibration import Way, choose
from xfeat_cli.model.labels import LABELS
from xfeat_cli.model.refiner import BlockedRefiner, require_refiner
from xfeat_cli.model.torch_network import folded_network
from xfeat_cli.model.weights import Weights, WeightsInfo

_BATCH_SIZE = {"cpu": 1, "cuda": 16, "mps": 4}
"""On a CPU a batch gains nothing once the network is channels-last (measured), and costs memory."""


_LAST = threading.Lock()
_last: tuple[tuple[bytes, Way], NetworkRunner] | None = None


def _network(weights: Weights, device: torch.device, way: Way) -> NetworkRunner:
    """Return the network ready to run; on a CPU the last one again if it is the same, with the graphs that it has
    compiled.
    """
    global _last
    if device.type != "cpu":
        return BACKENDS[way.backend].make(folded_network(weights), device, way.precision)
    key = _digest(weights), way
    with _LAST:
        if _last is None or _last[0] != key:
            _last = key, BACKENDS[way.backend].make(folded_network(weights), device, way.precision)
        return _last[1]


def _digest(weights: Weights) -> bytes:
    """Return the digest of what the weights hold, not of where they come from."""
    digest = hashlib.blake2b()
    for name, tensor in sorted(weights.state.items()):
        digest.update(name.encode() + repr((tensor.dtype, tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


class Runtime:
    """The network and the refiner of some weights on a device, ready to run. Threads may share it."""

    def __init__(
        self,
        weights: Weights,
        device: str = "auto",
        precision: Precision = Precision.AUTO,
        backend: Backend = Backend.AUTO,
    ) -> None:
        self.device = resolve_device(device)
        way = choose(weights, self.device, precision, backend)
        self.precision, self.backend = way.precision, way.backend
        if self.device.type == "cpu":
            keep_freed_memory()
        self.info: WeightsInfo = weights.info
        self.labels = LABELS[weights.info.refiner_labels]
        self.batch_size = _BATCH_SIZE[self.device.type]
        self._network = _network(weights, self.device, way)
        self._refiner = BlockedRefiner(weights, self.device, Precision.FP32) if self.info.has_refiner else None

    def upload(self, arrays: Sequence[np.ndarray]) -> Tensor:
        """Return arrays of one shape and type, stacked, on the device. A GPU copies them while the host goes on."""
        pinned = self.device.type == "cuda"
        dtype = torch.from_numpy(arrays[0]).dtype
        stacked = torch.empty(len(arrays), *arrays[0].shape, dtype=dtype, pin_memory=pinned)
        np.stack(arrays, out=stacked.numpy())
        return stacked.to(self.device, non_blocking=pinned)

    @torch.inference_mode()
    def heads(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map prepared images (B, 1, H, W) → descriptors, keypoint logits, reliability, as `XFeatNetwork.forward`."""
        return self._network.heads(image)

    @torch.inference_mode()
    def sparse_heads(self, image: Tensor, grids: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the heads that keypoints need: prepared images (B, 1, H, W) → descriptors, heatmap (B, H, W) averaged
        over `grids` grids of cells, reliability.
        """
        return self._network.sparse_heads(image, grids)

    @torch.inference_mode()
    def cells(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the heads that semi-dense features need: prepared images (B, 1, H, W) → descriptors, reliability."""
        return self._network.cells(image)

    def refine(self, descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        """Map raw descriptors of matched cells (M, 64) each → (M, 64) logits, in float32. Raises WeightsError."""
        self.require_refiner()
        assert self._refiner is not None
        return self._refiner(descriptors0, descriptors1)

    def require_refiner(self) -> None:
        """Raise WeightsError if the weights hold no match refiner."""
        require_refiner(self.info)
