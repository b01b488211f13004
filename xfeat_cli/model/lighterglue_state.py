"""Which tensors a LighterGlue matcher has: names and shapes, without kornia."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DESCRIPTOR = 64
WIDTH, LAYERS, HEADS = 96, 6, 1

DERIVED = "confidence_thresholds"
"""A buffer that kornia computes itself; the released file has none."""

_PREFIX = "matcher."
_OLD_NAME = re.compile(r"(self_attn|cross_attn)\.(\d+)\.(.+)")


def is_lighterglue(names: Sequence[str]) -> bool:
    """Return whether tensors of these names are a LightGlue matcher's, in the authors' naming or kornia's."""
    return any(name.removeprefix(_PREFIX).startswith("log_assignment.") for name in names)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the matcher's tensors of a file under the names that kornia gives them.

    The released file puts `matcher.` before them, names blocks in LightGlue's first manner, and brings the extractor
    that it was trained with, which is left out.
    """
    prefixed = any(name.startswith(_PREFIX) for name in state)
    renamed = {}
    for name, tensor in state.items():
        if prefixed and not name.startswith(_PREFIX):
            continue
        bare = name.removeprefix(_PREFIX)
        old = _OLD_NAME.fullmatch(bare)
        renamed[f"transformers.{old[2]}.{old[1]}.{old[3]}" if old else bare] = tensor
    renamed.pop(DERIVED, None)
    return renamed


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Return shapes of the tensors that `rename` must give, without kornia."""
    width = WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        **_linear("input_proj", width, DESCRIPTOR),
        "posenc.Wr.weight": (width // HEADS // 2, 2),
    }
    for layer in range(LAYERS):
        for block, first, second, last in (
            ("self_attn", ("Wqkv", 3 * width), None, "out_proj"),
            ("cross_attn", ("to_qk", width), ("to_v", width), "to_out"),
        ):
            at = f"transformers.{layer}.{block}"
            for name, rows in filter(None, (first, second)):
                shapes |= _linear(f"{at}.{name}", rows, width)
            shapes |= _linear(f"{at}.{last}", width, width)
            shapes |= _linear(f"{at}.ffn.0", 2 * width, 2 * width)
            shapes |= {f"{at}.ffn.1.{part}": (2 * width,) for part in ("weight", "bias")}
            shapes |= _linear(f"{at}.ffn.3", width, 2 * width)
        shapes |= _linear(f"log_assignment.{layer}.matchability", 1, width)
        shapes |= _linear(f"log_assignment.{layer}.final_proj", width, width)
        if layer < LAYERS - 1:
            shapes |= _linear(f"token_confidence.{layer}.token.0", 1, width)
    return shapes


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
