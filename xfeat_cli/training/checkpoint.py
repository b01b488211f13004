"""The state of a training run on disk: written whole or not at all, read without executing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xfeat_cli.errors import TrainingError
from xfeat_cli.files import FileKind, whole_file
from xfeat_cli.model.weights_file import check_zip

FILE = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replace the folder's checkpoint. state: tensors, numbers, strings, lists and dicts of them.

    Raises TrainingError when it cannot be written; the one before is then still there.
    """
    path = folder / FILE
    try:
        with whole_file(path, FileKind.CHECKPOINT) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise TrainingError(
            f"{path} cannot be written ({reason}); the checkpoint before is kept: make room and run the command again"
        ) from None


def load(folder: Path) -> dict[str, Any] | None:
    """Return the folder's checkpoint, None if there is none. Raises TrainingError if it is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        check_zip(path, path.read_bytes())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the parser raise anything
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainingError(f"{path}: damaged ({first_line}); start again with overwrite=True") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: no checkpoint of a training run; start again with overwrite=True")
    return state
