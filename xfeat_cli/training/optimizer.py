"""Muon for the matrices of the network, Adam for the rest.

Source: Jordan et al., "Muon: an optimizer for hidden layers", 2024: the momentum of a matrix is replaced by the nearest
semi-orthogonal matrix, by Newton–Schulz iteration.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAM_SHARE = 0.1
"""Adam's learning rate in learning rates of Muon."""


class Muon(Optimizer):
    """For parameters of two or more dimensions; a convolution counts as the matrix (outputs, the rest)."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(momentum, group["momentum"]).flatten(1)
                update = _orthogonal(ahead) * max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                parameter.add_(update.view_as(parameter), alpha=-group["lr"])


def _orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest semi-orthogonal matrix: all singular values near 1."""
    a, b, c = _QUINTIC
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def optimizers(network: nn.Module, refiner: nn.Module, learning_rate: float) -> list[Optimizer]:
    """Return the optimizers of all parameters: Muon for the network's matrices, Adam for its biases and for the
    refiner, whose matrices are so large that orthogonalising them would cost as much as all the rest of a step.
    """
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [Muon(matrices, learning_rate), Adam([*rest, *refiner.parameters()], _ADAM_SHARE * learning_rate)]
