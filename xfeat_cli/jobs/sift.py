"""A folder of photographs → a reconstruction by COLMAP's own SIFT, as `jobs.sfm` makes one by XFeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xfeat_cli.errors import UsageError
from xfeat_cli.images import find_images
from xfeat_cli.jobs.summary import SfmSummary, StageSummary
from xfeat_cli.pairing.lists import can_be_listed, exhaustive, read_pairs
from xfeat_cli.sfm.config import SfmConfig
from xfeat_cli.sfm.draft import drafting
from xfeat_cli.sfm.engine import version
from xfeat_cli.sfm.process import in_child
from xfeat_cli.sfm.reconstruction import map_database
from xfeat_cli.sfm.sift import extract_sift, match_sift
from xfeat_cli.sfm.verification import verify


def reconstruct_with_sift(
    images: str | Path,
    output: str | Path,
    pairs: str | Path | None = None,
    config: SfmConfig | None = None,
    *,
    overwrite: bool = False,
    started: Callable[[str], object] | None = None,
) -> SfmSummary:
    """Extract SIFT, match, verify, reconstruct; cameras, verification and mapping are those of `reconstruct`.

    pairs: a list of pairs, such as the pairs.txt of a `reconstruct`; None = every image with every other. config: its
    cameras, verification and mapping.
    output: folder for database.db and sparse/0, 1, …. started: told the name of each stage.
    Raises SfmError when there is a database (unless `overwrite`) or nothing can be reconstructed, PairsError.
    """
    version()
    images, output, config = Path(images), Path(output), config or SfmConfig()
    threads = config.verification.threads
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder of photographs")
    database = output / "database.db"
    names = [image.name for image in find_images(images) if can_be_listed(image.name)]
    wanted = list(exhaustive(names)) if pairs is None else read_pairs(Path(pairs))
    summary = SfmSummary(str(output))

    def stage(name: str, make: Callable[[], dict[str, Any]]) -> None:
        if started is not None:
            started(name)
        begun = time.monotonic()
        result = make()
        summary.stages.append(StageSummary(name, time.monotonic() - begun, False, result))

    def extraction() -> dict[str, Any]:
        draft.discard()
        arguments = draft.path, images, names, config.cameras, threads
        made = in_child(extract_sift, *arguments, place=database, doing="extracting SIFT")
        if made.images < len(names):
            missing = f"{len(names) - made.images} of {len(names)} images"
            summary.problems.append(f"{missing}: COLMAP cannot read them, or their size is not the camera's")
        return {"keypoints": made.keypoints}

    def matching() -> dict[str, Any]:
        matches = in_child(match_sift, draft.path, wanted, threads, place=database, doing="matching SIFT")
        return {"matches": matches, "pairs": len(wanted)}

    def verification() -> dict[str, Any]:
        return asdict(in_child(verify, draft.path, config.verification, place=database, doing="verifying"))

    def reconstruction() -> dict[str, Any]:
        summary.model = map_database(database, images, output / "sparse", config.mapping)
        return asdict(summary.model)

    with drafting(database, overwrite=overwrite) as draft:
        stage("extract", extraction)
        stage("match", matching)
        stage("verify", verification)
        draft.finish()
    stage("reconstruct", reconstruction)
    return summary
