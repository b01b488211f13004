"""Stand-ins for the released LighterGlue: random weights of the right shapes, in the released file's layout."""

from __future__ import annotations

from pathlib import Path

import torch

from xfeat_cli.model.lighterglue_state import expected_shapes


def random_state() -> dict[str, torch.Tensor]:
    """Under kornia's names. Equal descriptors match: they pass almost unchanged, and all points count as matchable."""
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in expected_shapes().items()}
    state["input_proj.weight"] = torch.cat([torch.eye(64), torch.zeros(32, 64)])
    state |= {f"log_assignment.{i}.final_proj.weight": 60 * torch.eye(96) for i in range(6)}
    state |= {f"log_assignment.{i}.matchability.bias": torch.tensor([9.0]) for i in range(6)}
    return state


def as_released(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`matcher.` before every name, blocks in LightGlue's first manner, and the extractor it was trained with."""
    released = {f"extractor.model.net.{i}": torch.zeros(1) for i in range(3)}
    for name, tensor in state.items():
        part, *rest = name.split(".")
        if part == "transformers":
            layer, block, *tail = rest
            name = ".".join([block, layer, *tail])
        released[f"matcher.{name}"] = tensor
    return released


def write_released(path: Path) -> Path:
    torch.save(as_released(random_state()), path)
    return path
