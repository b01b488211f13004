"""Guards the path of a GPU without one: tensors without data stand for a GPU's.

Whatever asks for a value of theirs, or for a size that depends on one, fails of itself; what copies them fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")


class OneDevice(TorchDispatchMode):
    """Within the block an operation on two devices fails: a copy, for which the host waits."""

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        devices = {str(tensor.device) for tensor in tensors}
        assert len(devices) < 2, f"{function} works on {' and '.join(sorted(devices))}"
        return result
