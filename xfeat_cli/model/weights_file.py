"""The bytes of a weights file → the tensors that a network or a matcher wants. No pickle is ever executed.

torch is imported where tensors are read, so that looking for weights stays quick.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xfeat_cli.errors import WeightsError
from xfeat_cli.model.lighterglue_state import expected_shapes, rename

if TYPE_CHECKING:
    import torch

MAX_BYTES = 256 * 2**20
"""No file of these weights comes near this, not even a checkpoint with its optimizer."""

REFINER = "fine_matcher."
"""What the names of the match refiner's tensors begin with."""

_MOST = 1e6
"""Largest number in weights; those of trained networks, running variances included, stay thousands of times below."""

_NESTED_UNDER = ("state_dict", "model")


def read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise WeightsError(f"{path}: a folder, not a weights file")
        if not path.is_file():
            raise WeightsError(f"{path}: not a regular file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(f"{path}: {size >> 20} MiB, so these are not weights of xfeat")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise WeightsError(f"{path}: the file is empty")
    return data


def _read_safetensors(path: Path, data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import torch as safetensors

    try:
        tensors = safetensors.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as error:  # a damaged file makes the parser raise anything
        raise WeightsError(f"{path}: damaged, or no safetensors file: {_first_line(error)}") from error
    metadata = header.get("__metadata__") or {}
    return tensors, {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}


def check_zip(path: Path, data: bytes) -> None:
    """Raise WeightsError for a zip archive that torch did not write: its parts are never compressed, so none can grow
    beyond the file."""
    if not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except Exception as error:  # a damaged archive makes the parser raise anything
        raise WeightsError(f"{path}: a damaged zip archive: {_first_line(error)}") from error
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or sum(p.file_size for p in parts) > len(data):
        raise WeightsError(f"{path}: a compressed zip archive, which is no checkpoint of torch")


def _read_checkpoint(path: Path, data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    import torch

    check_zip(path, data)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the parser raise anything
        raise WeightsError(
            f"{path}: damaged, or it holds more than tensors, which xfeat never executes: {_first_line(error)}"
        ) from error
    for key in _NESTED_UNDER:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not named tensors")
    strangers = [name for name, value in content.items() if not _is_plain(value)]
    if strangers:
        raise WeightsError(f"{path}: should be plain tensors and are not: {_listed(strangers)}")
    return content, {}


def _is_plain(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


READERS = {".safetensors": _read_safetensors, ".pt": _read_checkpoint, ".pth": _read_checkpoint}
"""Suffix of a file → what reads its bytes."""


def checked_network(path: Path, tensors: Mapping[Any, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors as the network wants them, or a WeightsError that names those which are wrong."""
    state = {str(name): tensor for name, tensor in tensors.items() if not str(name).endswith("num_batches_tracked")}
    expected = _expected_shapes(with_refiner=any(name.startswith(REFINER) for name in state))
    return _as_expected(path, state, expected, "this network")


def checked_matcher(path: Path, tensors: Mapping[Any, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Behave as `checked_network`, of LighterGlue, under kornia's names."""
    state = rename({str(name): tensor for name, tensor in tensors.items()})
    return _as_expected(path, state, expected_shapes(), "LighterGlue")


def _as_expected(
    path: Path, state: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], owner: str
) -> dict[str, torch.Tensor]:
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    misshapen = [
        f"{name} {tuple(tensor.shape)} instead of {expected[name]}"
        for name, tensor in state.items()
        if name in expected and tuple(tensor.shape) != expected[name]
    ]
    unreal = [name for name, tensor in state.items() if not tensor.is_floating_point()]
    problems = [("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen)]
    problems.append(("not floating-point", unreal))
    if not any(names for _, names in problems):
        state = {name: tensor.detach().cpu().float().contiguous() for name, tensor in state.items()}
        problems.append(("NaN, infinite or beyond all measure", [n for n, tensor in state.items() if _is_wild(tensor)]))
    found = "; ".join(f"{problem}: {_listed(names)}" for problem, names in problems if names)
    if found:
        raise WeightsError(f"{path}: not weights of {owner}; {found}")
    return state


def _is_wild(tensor: torch.Tensor) -> bool:
    """Return whether a network with such numbers would overflow."""
    return bool(tensor.numel()) and not float(tensor.abs().max()) <= _MOST


def _expected_shapes(with_refiner: bool) -> dict[str, tuple[int, ...]]:
    import torch

    from xfeat_cli.model.network import Refiner, XFeatNetwork

    with torch.device("meta"):
        state = XFeatNetwork().state_dict()
        if with_refiner:
            state |= Refiner().state_dict()
    return {name: tuple(t.shape) for name, t in state.items() if not name.endswith("num_batches_tracked")}


def _listed(names: list[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
