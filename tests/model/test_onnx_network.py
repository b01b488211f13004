"""The network in onnxruntime gives what it gives in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xfeat_cli.config import Backend, Precision
from xfeat_cli.errors import UsageError
from xfeat_cli.model.backends import resolve_backend
from xfeat_cli.model.runtime import Runtime
from xfeat_cli.model.weights import load
from xfeat_cli.xfeat import XFeat

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def runtimes() -> tuple[Runtime, Runtime]:
    weights = load("default")
    return tuple(Runtime(weights, "cpu", Precision.FP32, backend) for backend in (Backend.TORCH, Backend.ONNXRUNTIME))


@pytest.mark.parametrize("grids", [1, 2, 4])
def test_the_heads_are_torchs(runtimes: tuple[Runtime, Runtime], grids: int) -> None:
    for batch, height, width in ((1, 64, 96), (2, 96, 32)):
        image = torch.randn(batch, 1, height, width, generator=torch.Generator().manual_seed(0))
        for expected, found in zip(*(runtime.sparse_heads(image, grids) for runtime in runtimes), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        for expected, found in zip(*(runtime.cells(image) for runtime in runtimes), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_features_of_a_photograph(photograph: np.ndarray) -> None:
    expected = XFeat(precision="fp32", backend="torch", top_k=3000).detect(photograph)
    found = XFeat(backend="onnxruntime", device="cpu", top_k=3000).detect([photograph, photograph])
    for features in found:
        assert len(features) == len(expected)
        order, expected_order = (np.lexsort(np.round(one.keypoints, 1).T) for one in (features, expected))
        np.testing.assert_allclose(features.keypoints[order], expected.keypoints[expected_order], atol=0.01)


def test_it_computes_in_float32() -> None:
    cpu = torch.device("cpu")
    assert Runtime(load("default"), "cpu", Precision.AUTO, Backend.ONNXRUNTIME).precision is Precision.FP32
    with pytest.raises(UsageError, match="backend=onnxruntime: it computes in fp32"):
        resolve_backend(Backend.ONNXRUNTIME, cpu, Precision.BF16)
    assert resolve_backend(Backend.AUTO, cpu, Precision.FP32) is not Backend.ONNXRUNTIME
