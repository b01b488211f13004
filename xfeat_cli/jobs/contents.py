"""What kind of HDF5 file a file is, without counting what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfeat_cli.errors import StoreError
from xfeat_cli.store.layout import entries, guess_kind
from xfeat_cli.store.reader import open_hdf5
from xfeat_cli.store.values import HDF5_ERRORS, python_attributes


@dataclass(frozen=True)
class Contents:
    """kind: one of those of `store.layout`, or "unknown content". attributes: those of the root."""

    kind: str
    attributes: dict[str, Any]


def contents(path: Path) -> Contents:
    """Open what a file holds. Raises StoreError when it is missing, not HDF5, or damaged."""
    with open_hdf5(path) as h5:
        try:
            attributes = python_attributes(h5)
            return Contents(str(attributes.get("xfeat_kind") or guess_kind(entries(h5))), attributes)
        except HDF5_ERRORS as error:
            raise StoreError(f"{path} is damaged: {error}") from error
