"""One part of N of a job: for a Slurm array, GNU parallel, or a queue of machines, without any engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfeat_cli.errors import UsageError
from xfeat_cli.images import find_images, image_root
from xfeat_cli.jobs.extract import extract
from xfeat_cli.jobs.match import in_reading_order, match
from xfeat_cli.jobs.progress import Summary
from xfeat_cli.pairing.lists import read_pairs, unique
from xfeat_cli.store.pieces import PieceFolder, Slice, cut, pieces_folder
from xfeat_cli.types import Pair

_MOST = 1_000_000


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1 on, of `count`. Raises UsageError for impossible numbers."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST or not 1 <= self.number <= self.count:
            raise UsageError(
                f"shard={self.number}/{self.count}: write I/N with I from 1 to N; a Slurm array counts from 1 with "
                "#SBATCH --array=1-N"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Map "3/16" → part 3 of 16. Raises UsageError."""
        written = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if written is None:
            raise UsageError(f"shard={text}: write I/N, such as 3/16")
        return cls(int(written[1]), int(written[2]))


def extract_shard(
    images: str | Path | Sequence[str | Path],
    output: str | Path,
    shard: Shard,
    *,
    image_list: Iterable[str] | None = None,
    masks: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Summary:
    """Extract one part of a collection into the folder of pieces of `output`.

    Args:
        images, image_list, masks, overwrite, options: as `extract` takes them; but no quarter turns are tried
            (rotations "auto" means "0"), since a part does not hold the photographs that tell.
        output: the features file that `merge` makes when every part is done.
        shard: the part. All machines need the same images and the same number of parts.

    Returns:
        What was done; nothing, with a total of 0, where there are fewer images than parts.

    Raises:
        XFeatError: as `extract` does, and ProvenanceError where the folder holds pieces of another list.
    """
    if options.get("rotations") == "4":
        raise UsageError("shard and rotations=4 cannot go together: a part does not hold the photographs that tell")
    paths = [Path(images)] if isinstance(images, (str, Path)) else [Path(path) for path in images]
    root = image_root(paths)
    names = [file.name for file in find_images(paths, image_list, None if masks is None else Path(masks))]
    piece, path = _piece("features", names, Path(output), shard, overwrite)
    if piece is None:
        return Summary(str(path))
    part = names[piece.first : piece.last]
    options["rotations"] = "0"
    return extract(root, path, image_list=part, masks=masks, overwrite=overwrite, **options)


def match_shard(
    pairs: str | Path | Iterable[Pair],
    features: str | Path,
    output: str | Path,
    shard: Shard,
    *,
    features0: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Summary:
    """Match one part of a list of pairs into the folder of pieces of `output`; as `extract_shard`."""
    ordered = features0 is not None
    listed = (
        read_pairs(Path(pairs), ordered=ordered) if isinstance(pairs, (str, Path)) else unique(pairs, ordered=ordered)
    )
    arranged = in_reading_order(listed)
    piece, path = _piece("matches", ["\t".join(pair) for pair in arranged], Path(output), shard, overwrite)
    if piece is None:
        return Summary(str(path))
    part = arranged[piece.first : piece.last]
    return match(part, features, path, features0=features0, overwrite=overwrite, **options)


def _piece(kind: str, items: list[str], output: Path, shard: Shard, overwrite: bool) -> tuple[Slice | None, Path]:
    """Return the shard's slice, None if it is empty, and the file or folder it concerns."""
    folder = PieceFolder(pieces_folder(output))
    slices = cut(items, shard.count)
    folder.claim(kind, items, slices, overwrite=overwrite)
    first, last = (len(items) * number // shard.count for number in (shard.number - 1, shard.number))
    piece = next((one for one in slices if (one.first, one.last) == (first, last)), None)
    return piece, folder.folder if piece is None else folder.folder / piece.file
