"""The network in torch: batch norm folded into the convolutions, channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from xfeat_cli.model import heatmap
from xfeat_cli.model.network import CELL, BasicLayer, XFeatNetwork
from xfeat_cli.model.weights import Weights


class TorchNetwork:
    """A folded network on a device, in a precision; in bfloat16, `ends` stay in float32."""

    def __init__(self, network: XFeatNetwork, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        of_blocks = heatmap.head_of_blocks(network.keypoint_head)
        self._layers = heatmap.layers_of_blocks(of_blocks) if device.type == "cpu" else None
        self._network = network.to(device, dtype)
        self._of_blocks = of_blocks.to(device, dtype)
        if dtype is torch.bfloat16:
            for head, last in [*ends(network), (self._of_blocks, -1)]:
                head[last] = _InFloat32(head[last])
        for module in (self._network, self._of_blocks):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.heads`."""
        image = self._as_input(image)
        features, reliability = self._describe(image)
        return features, self._network.keypoint_head(_unshuffled(image)), reliability

    def cells(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Behave as `Runtime.cells`."""
        return self._describe(self._as_input(image))

    def keypoint_logits(self, image: Tensor) -> Tensor:
        """Return the keypoint head alone: prepared images (B, 1, H, W) → (B, 65, H/8, W/8)."""
        return self._network.keypoint_head(_unshuffled(self._as_input(image)))

    def sparse_heads(self, image: Tensor, grids: int) -> tuple[Tensor, Tensor, Tensor]:
        """Behave as `Runtime.sparse_heads`."""
        if grids < 4:
            features, logits, reliability = self.heads(image)
            first = heatmap.from_logits(logits)
            return features, heatmap.averaged(first, self.keypoint_logits, image, grids), reliability
        heat = None
        if self._layers is not None:
            heat = heatmap.in_one_pass(image, self._layers, self._dtype is torch.bfloat16)
        image = self._as_input(image)
        features, reliability = self._describe(image)
        if heat is None:
            heat = heatmap.from_block_logits(self._of_blocks(_unshuffled(image, heatmap.BLOCK)))
        return features, heat, reliability

    def _as_input(self, image: Tensor) -> Tensor:
        return image.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)

    def _describe(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self._network.describe(image)
        return features, self._network.heatmap_head(features.to(self._dtype))


class _InFloat32(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.float()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


def ends(network: XFeatNetwork) -> list[tuple[nn.Sequential, int]]:
    """Return the last convolutions, of descriptors, keypoint logits and reliability: (layers, index of the
    convolution).

    Their results are what features are made of: rounded to bfloat16 they cost one match in a hundred, and a point of
    pose AUC; in float32, with bfloat16 before them, nothing. They are three in a hundred of the network's work.
    """
    return [(network.block_fusion, 2), (network.keypoint_head, 3), (network.heatmap_head, 2)]


def folded_network(weights: Weights) -> XFeatNetwork:
    """Return the network of some weights, on the CPU, each batch norm folded into the convolution before it."""
    network = XFeatNetwork()
    network.load_state_dict(weights.state, strict=False)
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, BasicLayer):
            convolution, norm, relu = module.layer
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            module.layer = nn.Sequential(fuse_conv_bn_eval(convolution, norm), relu)
    return network


def _unshuffled(image: Tensor, side: int = CELL) -> Tensor:
    """Return `pixel_unshuffle` of (B, 1, H, W), made channels-last, as the network wants it and in one copy."""
    batch, _, height, width = image.shape
    cells = image.reshape(batch, height // side, side, width // side, side).transpose(2, 3)
    return cells.reshape(batch, height // side, width // side, side * side).permute(0, 3, 1, 2)
