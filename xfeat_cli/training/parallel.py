"""Several processes that train one model together: each makes its own pairs, gradients and statistics are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def average(model: nn.Module) -> None:
    """Make gradients and running statistics the mean over all processes, in one exchange; alone, nothing."""
    if not dist.is_initialized():
        return
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    tensors = [parameter.grad for parameter in parameters if parameter.grad is not None]
    tensors += [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    _average(tensors)


def average_numbers(numbers: Sequence[float]) -> list[float]:
    """Return the mean of each number over all processes."""
    values = torch.tensor(list(numbers), dtype=torch.float64)
    if dist.is_initialized():
        _average([values])
    return values.tolist()


def _average(tensors: Iterable[Tensor]) -> None:
    tensors = list(tensors)
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def join(rank: int, processes: int, meeting_file: str) -> None:
    """Become process `rank` of `processes`, with one thread; they meet by a file that none of them has made."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting_file}", rank=rank, world_size=processes)


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
