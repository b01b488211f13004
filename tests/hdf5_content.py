"""Everything that an HDF5 file holds, to compare two files."""

from __future__ import annotations

from pathlib import Path

import h5py


def content(path: Path) -> dict[str, object]:
    """Return the datasets of a file, and the attributes of its root and of all it holds, by name."""
    held: dict[str, object] = {}
    with h5py.File(path) as h5:
        held["/"] = dict(h5.attrs)
        h5.visititems(
            lambda name, item: held.update(
                {name: (item[()].tolist() if isinstance(item, h5py.Dataset) else None, dict(item.attrs))}
            )
        )
    return held
