"""Exported graphs on small inputs, with exact answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xfeat_cli.export import graphs
from xfeat_cli.matching.nearest import mutual_nearest
from xfeat_cli.model import decode
from xfeat_cli.model.decode import SEMI_DENSE_SCALES


@pytest.mark.parametrize("scale", [scale for scale, _ in SEMI_DENSE_SCALES])
def test_sizes_of_scaled_images_are_those_of_the_python_path(scale: float) -> None:
    at = [scale for scale, _ in SEMI_DENSE_SCALES].index(scale)
    for side in range(1, 700):
        assert max(1, graphs._scaled(side, scale)) == decode.semi_dense_sizes((side, side))[at][0], side


@pytest.mark.parametrize("size", [(40, 57), (64, 64), (33, 100)])
def test_normalised_as_prepared(size: tuple[int, int]) -> None:
    gray = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(graphs.normalised(gray), decode.prepare(gray), atol=1e-5, rtol=0)


def test_reduced_as_torch_reduces() -> None:
    gray = torch.rand(2, 50, 81, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(gray[:, None], (30, 49), mode="bilinear", antialias=True)[:, 0]
    torch.testing.assert_close(graphs._reduced(gray, (30, 49)), expected, atol=1e-5, rtol=0)


def test_the_best_are_filled_up_with_zeros() -> None:
    best, index = graphs.best_of(torch.tensor([[0.1, 0.5, 0.3]]), 5)
    torch.testing.assert_close(best, torch.tensor([[0.5, 0.3, 0.1, 0, 0]]))
    assert index[0, :3].tolist() == [1, 2, 0]
    assert index.max() < 3


def test_the_split_is_that_of_the_python_path() -> None:
    graph = graphs.DenseGraph(torch.nn.Module(), torch.float32, 100, 3.5)  # type: ignore[arg-type]
    for available in ((30, 200), (10, 200), (90, 20), (5, 6), (0, 7), (200, 400), (1, 0)):
        counts = graph._split(*map(torch.tensor, available))
        assert [int(count) for count in counts] == decode._split(list(available), 100), available


def test_the_matcher_is_mutual() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(40, 64, generator=generator), torch.randn(50, 64, generator=generator)
    two[:20] = one[20:] + 0.3 * two[:20]
    matches, cosines = graphs.MatcherGraph(0.5)(one, two)
    expected = mutual_nearest(one, two, 0.5)
    assert len(expected) == 20
    assert [[i, int(j)] for i, j in enumerate(matches) if j >= 0] == expected.indices.tolist()
    np.testing.assert_allclose(cosines[matches >= 0], expected.scores, atol=1e-6)
