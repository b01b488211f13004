"""The network in OpenVINO against the network in torch."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from xfeat_cli.model import openvino_network, weights
from xfeat_cli.model.openvino_network import Graphs, OpenVinoNetwork
from xfeat_cli.model.torch_network import TorchNetwork, folded_network

pytestmark = pytest.mark.skipif(not openvino_network.is_installed(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def network() -> OpenVinoNetwork:
    return OpenVinoNetwork(folded_network(weights.load("default")), streams=1, bf16=False)


def test_in_bf16_the_ends_are_computed_apart(truth: TorchNetwork) -> None:
    """Where the processor has no bfloat16, what is before them is float32 all the same."""
    network = OpenVinoNetwork(folded_network(weights.load("default")), streams=1, bf16=True)
    image = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found, cells = truth.heads(image), network.heads(image), network.cells(image)
    exact = not openvino_network.runs_bf16()
    for result, true in zip((*found, *cells), (*expected, expected[0], expected[2]), strict=True):
        assert result.dtype == torch.float32
        assert (result - true).abs().max() <= (1e-5 if exact else 0.05) * (true.max() - true.min())


@pytest.fixture(scope="module")
def truth() -> TorchNetwork:
    return TorchNetwork(folded_network(weights.load("default")), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (160, 64)])
def test_the_outputs_are_those_of_torch(network: OpenVinoNetwork, truth: TorchNetwork, size: tuple[int, int]) -> None:
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = truth.heads(image)
    for result, true in zip(network.heads(image), expected, strict=True):
        assert result.dtype == torch.float32
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert (result - true).abs().max() <= 1e-5 * (true.max() - true.min())
    features, reliability = network.cells(image)
    assert torch.equal(features, network.heads(image)[0])
    assert torch.equal(reliability, network.heads(image)[2])


def test_the_result_depends_neither_on_streams_nor_on_what_ran_before(network: OpenVinoNetwork) -> None:
    random = torch.Generator().manual_seed(1)
    images = [torch.randn(1, 1, 64, 32 * (1 + i % 3), generator=random) for i in range(12)]
    several = OpenVinoNetwork(folded_network(weights.load("default")), streams=2, bf16=False)
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(several.heads, images))
    for image, outputs in zip(images, together, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(network.heads(image), outputs, strict=True))


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    """OpenVINO's own import leaves an identity in the home folder and sends it."""
    program = (
        "import sys; from xfeat_cli.model import openvino_network; openvino_network.runs_bf16(); "
        "print([name for name in sys.modules if 'telemetry' in name]); import openvino.tools"
    )
    environment = os.environ | {"HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_threads_may_share_its_very_first_use() -> None:
    program = (
        "import torch; from concurrent.futures import ThreadPoolExecutor; from xfeat_cli.model import weights; "
        "from xfeat_cli.model.openvino_network import OpenVinoNetwork; "
        "from xfeat_cli.model.torch_network import folded_network; "
        "network = OpenVinoNetwork(folded_network(weights.load('default')), streams=4, bf16=False); "
        "list(ThreadPoolExecutor(4).map(network.heads, [torch.zeros(1, 1, 64, 64)] * 8))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_graph_of_one_shape_gives_the_bits_of_that_of_any(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if bf16 and not openvino_network.runs_bf16():
        pytest.skip("this processor does not multiply bf16")
    network = OpenVinoNetwork(folded_network(weights.load("default")), streams=1, bf16=bf16)
    for size in ((64, 96), (224, 160)):
        image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr(openvino_network, "_SHAPES_AT_ONCE", 0)
        runs = [network.sparse_heads(image, 4) for _ in range(openvino_network._WORTH_COMPILING + 2)]
        for run in runs[1:]:
            assert all(torch.equal(one, other) for one, other in zip(runs[0], run, strict=True))


@pytest.mark.parametrize("grids", [1, 2, 4])
def test_the_sparse_heads_are_those_of_torch(network: OpenVinoNetwork, truth: TorchNetwork, grids: int) -> None:
    image = torch.randn(1, 1, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for result, true in zip(network.sparse_heads(image, grids), truth.sparse_heads(image, grids), strict=True):
            assert result.shape == true.shape
            assert (result - true).abs().max() <= 1e-5 * (true.max() - true.min())


def test_shapes_that_come_often_get_graphs_of_their_own_and_few_are_kept() -> None:
    compiled: list[tuple[int, ...] | None] = []

    def compile_one(names: tuple[str, ...], shape: tuple[int, ...] | None) -> object:
        compiled.append(shape)
        return shape

    graphs = Graphs(compile_one)
    shapes = [(1, 1, 32, 32 * i) for i in range(1, 8)]
    for shape in shapes[:2]:
        assert graphs.get(("a",), shape) == shape
    assert graphs.get(("b",), shapes[5]) == shapes[5]  # other outputs
    for shape in shapes[2:6]:
        for _ in range(openvino_network._WORTH_COMPILING):
            assert graphs.get(("a",), shape) is None
        assert graphs.get(("a",), shape) == shape
    assert compiled == [*shapes[:2], shapes[5], None, *shapes[2:6]]
    assert graphs.get(("a",), shapes[0]) is None  # dropped for later ones, and counted anew
    assert graphs.get(("a",), shapes[5]) == shapes[5]
