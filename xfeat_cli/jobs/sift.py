"""A folder of photographs → a reconstruction by COLMAP's own SIFT, as `jobs.sfm` makes one by XFeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.images import find_images
from xfeat_cli.jobs.sfm import SfmSummary, Stage
from xfeat_cli.pairing.lists import can_be_listed, exhaustive, read_pairs
from xfeat_cli.sfm.config import ColmapConfig, Mapper
from xfeat_cli.sfm.database import replacing
from xfeat_cli.sfm.engine import version
from xfeat_cli.sfm.reconstruction import reconstruct
from xfeat_cli.sfm.sift import extract_sift, match_sift
from xfeat_cli.sfm.verification import verify


def reconstruct_with_sift(
    images: str | Path,
    output: str | Path,
    pairs: str | Path | None = None,
    mapper: Mapper = Mapper.INCREMENTAL,
    cameras: ColmapConfig | None = None,
    *,
    overwrite: bool = False,
    started: Callable[[str], object] | None = None,
) -> SfmSummary:
    """Extract SIFT, match, verify, reconstruct; verification and mapping are those of `reconstruct_folder`.

    pairs: a list of pairs, such as the pairs.txt of a `reconstruct_folder`; None = every image with every other.
    output: folder for database.db and sparse/0, 1, …. started: told the name of each stage.
    Raises SfmError when there is a database (unless `overwrite`) or nothing can be reconstructed, PairsError.
    """
    version()
    images, output, cameras = Path(images), Path(output), cameras or ColmapConfig()
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder of photographs")
    database = output / "database.db"
    if database.exists() and not overwrite:
        raise SfmError(f"{database} exists; use overwrite=True to replace it, or name another folder")
    names = [image.name for image in find_images(images) if can_be_listed(image.name)]
    wanted = list(exhaustive(names)) if pairs is None else read_pairs(Path(pairs))
    summary = SfmSummary(str(output))

    def stage(name: str, make: Callable[[], str]) -> None:
        if started is not None:
            started(name)
        begun = time.monotonic()
        result = make()
        summary.stages.append(Stage(name, time.monotonic() - begun, False, result))

    def extraction() -> str:
        made = extract_sift(unfinished, images, names, cameras)
        if made.images < len(names):
            missing = f"{len(names) - made.images} of {len(names)} images"
            summary.problems.append(f"{missing}: COLMAP cannot read them, or their size is not the camera's")
        return f"{made.keypoints:,} keypoints"

    def verification() -> str:
        made = verify(unfinished, cameras)
        return f"{made.verified:,} of {made.pairs:,} pairs, {made.inliers:,} of {made.matches:,} matches"

    def reconstruction() -> str:
        summary.model = reconstruct(database, images, output / "sparse", mapper, cameras)
        return f"{summary.model.registered} of {summary.model.images} images"

    with replacing(database) as unfinished:
        stage("extract", extraction)
        stage("match", lambda: f"{match_sift(unfinished, wanted, cameras):,} matches of {len(wanted):,} pairs")
        stage("verify", verification)
    stage("reconstruct", reconstruction)
    return summary
