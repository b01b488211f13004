from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xfeat_cli.model.network import CELL, Refiner, XFeatNetwork

LAYERS = {
    "block1.0": (4, 1, 3),
    "block1.1": (8, 4, 3),
    "block1.2": (8, 8, 3),
    "block1.3": (24, 8, 3),
    "block2.0": (24, 24, 3),
    "block2.1": (24, 24, 3),
    "block3.0": (64, 24, 3),
    "block3.1": (64, 64, 3),
    "block3.2": (64, 64, 1),
    "block4.0": (64, 64, 3),
    "block4.1": (64, 64, 3),
    "block4.2": (64, 64, 3),
    "block5.0": (128, 64, 3),
    "block5.1": (128, 128, 3),
    "block5.2": (128, 128, 3),
    "block5.3": (64, 128, 1),
    "block_fusion.0": (64, 64, 3),
    "block_fusion.1": (64, 64, 3),
    "heatmap_head.0": (64, 64, 1),
    "heatmap_head.1": (64, 64, 1),
    "keypoint_head.0": (64, 64, 1),
    "keypoint_head.1": (64, 64, 1),
    "keypoint_head.2": (64, 64, 1),
}
"""Released names: convolution without bias and batch norm without affine; (outputs, inputs, kernel)."""

CONVOLUTIONS = {
    "skip1.1": (24, 1, 1),
    "block_fusion.2": (64, 64, 1),
    "heatmap_head.2": (1, 64, 1),
    "keypoint_head.3": (65, 64, 1),
}
"""Released names: convolution with bias."""

LINEAR = {0: (512, 128), 3: (512, 512), 6: (512, 512), 9: (512, 512), 12: (64, 512)}
NORMS = (1, 4, 7, 10)
"""Numbers inside `fine_matcher`."""


def _statistics(prefix: str, size: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.running_mean": (size,),
        f"{prefix}.running_var": (size,),
        f"{prefix}.num_batches_tracked": (),
    }


def _released_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs, kernel) in LAYERS.items():
        shapes[f"{name}.layer.0.weight"] = (outputs, inputs, kernel, kernel)
        shapes |= _statistics(f"{name}.layer.1", outputs)
    for name, (outputs, inputs, kernel) in CONVOLUTIONS.items():
        shapes |= {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}
    return shapes


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _learned(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_names_and_shapes_are_the_released_ones() -> None:
    assert _shapes(XFeatNetwork().state_dict()) == _released_shapes()


def test_names_and_shapes_are_those_of_the_authors_file(shared: Path) -> None:
    released = torch.load(shared / "weights" / "xfeat-official-backbone.pt", weights_only=True)
    tracked = {name: () for name in _released_shapes() if name.endswith("num_batches_tracked")}
    assert tracked | _shapes(released) == _released_shapes()


def test_the_refiners_names_and_shapes_are_the_released_ones() -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for number, (outputs, inputs) in LINEAR.items():
        expected[f"fine_matcher.{number}.weight"] = (outputs, inputs)
        expected[f"fine_matcher.{number}.bias"] = (outputs,)
    for number in NORMS:
        expected |= _statistics(f"fine_matcher.{number}", 512)
    assert _shapes(Refiner().state_dict()) == expected


def test_parameter_counts() -> None:
    assert _learned(XFeatNetwork()) == 657_910
    assert _learned(Refiner()) == 886_848


def test_output_shapes_and_ranges() -> None:
    with torch.inference_mode():
        features, logits, reliability = XFeatNetwork().eval()(torch.randn(2, 1, 64, 96))
    assert features.shape == (2, 64, 8, 12)
    assert logits.shape == (2, 65, 8, 12)
    assert reliability.shape == (2, 1, 8, 12)
    assert 0 <= reliability.min() <= reliability.max() <= 1


def test_the_keypoint_head_sees_the_pixels_of_a_cell_row_by_row() -> None:
    network = XFeatNetwork().eval()
    network.keypoint_head = nn.Identity()
    image = torch.randn(1, 1, 32, 64)
    with torch.inference_mode():
        _, cells, _ = network(image)
    for j, i, row, column in [(0, 0, 0, 0), (0, 3, 1, 2), (5, 0, 3, 7), (7, 6, 2, 1)]:
        assert cells[0, CELL * j + i, row, column] == image[0, 0, CELL * row + j, CELL * column + i]


def test_coarse_blocks_are_upsampled_with_pixel_centres() -> None:
    """With poolings for blocks 3 to 5, what reaches the fusion is known."""
    network = XFeatNetwork().eval()
    network.block2 = network.block_fusion = nn.Identity()
    network.block3 = network.block4 = network.block5 = nn.AvgPool2d(2)
    image = torch.randn(1, 1, 64, 96)
    with torch.inference_mode():
        quarter = network.block1(image) + network.skip1(image)
        expected = F.avg_pool2d(quarter, 2)
        for size in (4, 8):
            coarse = F.avg_pool2d(quarter, size)
            expected = expected + F.interpolate(coarse, (8, 12), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network.describe(image), expected)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_refiner_takes_the_first_descriptor_first(swapped: bool) -> None:
    refiner = Refiner().eval()
    d0, d1 = torch.randn(2, 5, 64)
    with torch.inference_mode():
        expected = refiner.fine_matcher(torch.cat([d1, d0] if swapped else [d0, d1], 1))
        result = refiner(d0, d1)
    assert result.shape == (5, 64)
    assert torch.equal(result, expected) is not swapped
