"""The XFeat architecture (Potje et al., CVPR 2024), modules only. State-dict names are the released file's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL = 8
"""Side of a feature-map cell in network pixels; each cell holds 64 keypoint positions."""

STRIDE = 32
"""Network input sides are multiples of this."""

DESCRIPTOR_DIM = 64


class BasicLayer(nn.Module):
    """Convolution without bias, batch norm without affine, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, affine=False),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class XFeatNetwork(nn.Module):
    """Normalised gray image → dense descriptors, keypoint logits, reliability."""

    def __init__(self) -> None:
        super().__init__()
        self.skip1 = nn.Sequential(nn.AvgPool2d(4, stride=4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(
            BasicLayer(1, 4), BasicLayer(4, 8, stride=2), BasicLayer(8, 8), BasicLayer(8, 24, stride=2)
        )
        self.block2 = nn.Sequential(BasicLayer(24, 24), BasicLayer(24, 24))
        self.block3 = nn.Sequential(BasicLayer(24, 64, stride=2), BasicLayer(64, 64), BasicLayer(64, 64, 1))
        self.block4 = nn.Sequential(BasicLayer(64, 64, stride=2), BasicLayer(64, 64), BasicLayer(64, 64))
        self.block5 = nn.Sequential(
            BasicLayer(64, 128, stride=2), BasicLayer(128, 128), BasicLayer(128, 128), BasicLayer(128, 64, 1)
        )
        self.block_fusion = nn.Sequential(BasicLayer(64, 64), BasicLayer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(
            BasicLayer(64, 64, 1), BasicLayer(64, 64, 1), nn.Conv2d(64, 1, 1), nn.Sigmoid()
        )
        self.keypoint_head = nn.Sequential(
            BasicLayer(64, 64, 1), BasicLayer(64, 64, 1), BasicLayer(64, 64, 1), nn.Conv2d(64, CELL * CELL + 1, 1)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network on normalised images (zero mean, unit variance each).

        image: (B, 1, H, W), H and W multiples of 32.
        Returns descriptors (B, 64, H/8, W/8), not normalised; keypoint logits (B, 65, H/8, W/8), the 64
        positions of the cell row by row, then the dustbin; reliability (B, 1, H/8, W/8) in [0, 1].
        """
        features = self.describe(image)
        return features, self.keypoint_head(F.pixel_unshuffle(image, CELL)), self.heatmap_head(features)

    def describe(self, image: Tensor) -> Tensor:
        """Return the dense descriptors alone: (B, 1, H, W) → (B, 64, H/8, W/8)."""
        x2 = self.block2(self.block1(image) + self.skip1(image))
        x3 = self.block3(x2)
        x4 = self.block4(x3)
        x5 = self.block5(x4)
        size = x3.shape[-2:]
        x4 = F.interpolate(x4, size, mode="bilinear")
        x5 = F.interpolate(x5, size, mode="bilinear")
        return self.block_fusion(x3 + x4 + x5)


class Refiner(nn.Module):
    """The match refiner: two raw descriptors → position of the match inside the cell of the first image."""

    def __init__(self) -> None:
        super().__init__()
        hidden: list[nn.Module] = []
        for _ in range(3):
            hidden += [nn.BatchNorm1d(512, affine=False), nn.ReLU(inplace=True), nn.Linear(512, 512)]
        self.fine_matcher = nn.Sequential(
            nn.Linear(2 * DESCRIPTOR_DIM, 512),
            *hidden,
            nn.BatchNorm1d(512, affine=False),
            nn.ReLU(inplace=True),
            nn.Linear(512, CELL * CELL),
        )

    def forward(self, descriptors0: Tensor, descriptors1: Tensor) -> Tensor:
        """Map (M, 64) and (M, 64) raw descriptors → (M, 64) logits over the cell's pixels, row by row."""
        return self.fine_matcher(torch.cat([descriptors0, descriptors1], 1))
