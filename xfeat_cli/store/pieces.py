"""A file in pieces: a folder `<out>.pieces` of ordinary files, each made whole by one machine, and its manifest.

The list of items (images or pairs) is cut into contiguous slices. A piece is named after its slice and the digest of
the slice's items, so a piece that is done twice is the same file. `manifest.json` names every piece of the list; all
machines write the same one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from xfeat_cli.errors import ProvenanceError, StoreError
from xfeat_cli.files import write_text

MANIFEST = "manifest.json"
_DIGEST_BYTES = 8
_MOST_BYTES = 256 << 20
"""The manifest of a million pieces takes 60 MB."""


@dataclass(frozen=True)
class Slice:
    """The items `first` … `last` − 1 of a list, and the name of the file that their results go to."""

    first: int
    last: int
    file: str


def pieces_folder(output: Path) -> Path:
    """Return where the pieces of a file lie until they are merged."""
    return output.with_name(output.name + ".pieces")


def cut(items: Sequence[str], parts: int) -> list[Slice]:
    """Cut a list into `parts` contiguous slices whose lengths differ by at most 1; slices of nothing are left out."""
    bounds = [len(items) * number // parts for number in range(parts + 1)]
    return [
        Slice(first, last, f"piece-{first:09}-{last:09}-{_digest(items[first:last])}.h5")
        for first, last in pairwise(bounds)
        if last > first
    ]


class PieceFolder:
    """The pieces of one output.

    Raises StoreError when the manifest cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, kind: str, items: Sequence[str], slices: Sequence[Slice], *, overwrite: bool = False) -> None:
        """Write the manifest, or agree with the one that another machine wrote.

        overwrite: take the place of a manifest of another list; its pieces stay and are not merged any more.
        Raises ProvenanceError naming the difference.
        """
        manifest = {
            "xfeat_pieces": 1,
            "kind": kind,
            "items": len(items),
            "digest": _digest(items),
            "pieces": [piece.file for piece in slices],
        }
        found = None if overwrite else self._read()
        if found == manifest:
            return
        if found is not None:
            differences = [
                f"{name} {_shown(found.get(name))}, now {_shown(manifest[name])}"
                for name in manifest
                if found.get(name) != manifest[name]
            ]
            raise ProvenanceError(
                f"{self.folder} holds pieces of another list or number of shards ({'; '.join(differences)}); use the "
                "same list and number on every machine, another output name, or overwrite=True on one of them"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / MANIFEST, json.dumps(manifest, indent=1))
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written ({error.strerror or error})") from None

    def pieces(self) -> tuple[list[Path], list[str]]:
        """Return the finished pieces in the order of their items, and the file names of those that are missing."""
        manifest = self._read()
        if manifest is None:
            raise StoreError(f"{self.folder} holds no {MANIFEST}; it is made by the first shard that runs")
        paths = [self.folder / name for name in manifest["pieces"]]
        return [path for path in paths if path.is_file()], [path.name for path in paths if not path.is_file()]

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / MANIFEST
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise StoreError(f"{path} is too large to be a manifest")
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{path} cannot be read ({error}); run one shard with overwrite=True") from None
        names = manifest.get("pieces") if isinstance(manifest, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) and _is_plain(name) for name in names):
            raise StoreError(f"{path} is no manifest of pieces; run one shard with overwrite=True")
        return manifest


def _digest(items: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for item in items:
        digest.update(item.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _is_plain(name: str) -> bool:
    """Return whether a name stays within the folder."""
    return bool(name) and not name.startswith(".") and not any(c in name for c in "/\\\0")


def _shown(value: Any) -> str:
    return f"{len(value)}" if isinstance(value, list) else str(value)
