"""A verified database → models, for a database of whatever tool and as a stage of a reconstruction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from xfeat_cli.errors import SfmError
from xfeat_cli.images import ImageFile
from xfeat_cli.jobs.progress import Listener, Report, Status
from xfeat_cli.jobs.summary import SfmSummary, StageSummary
from xfeat_cli.pairing.positions import exif_positions, matched_to, read_positions
from xfeat_cli.sfm.config import MappingConfig
from xfeat_cli.sfm.georegistration import Places
from xfeat_cli.sfm.mappers import MapProgress
from xfeat_cli.sfm.process import Listen
from xfeat_cli.sfm.reconstruction import ModelSummary, map_database

NO_POSE = " has no pose in the largest model"


def map_models(
    database: str | Path,
    output: str | Path,
    images: str | Path | None = None,
    config: MappingConfig | None = None,
    *,
    listener: Listener | None = None,
) -> SfmSummary:
    """Map a database that holds verified pairs.

    Args:
        database: of xfeat or of COLMAP.
        output: folder for the models 0, 1, …, the largest first. One that xfeat made before is replaced.
        images: folder of the photographs, which give points their colours.
        config: how.
        listener: told how many photographs have a pose.

    Returns:
        The largest model, with a problem for each photograph that it lacks.

    Raises:
        SfmError: the database is missing or not verified, the output is not xfeat's, or nothing can be reconstructed.
    """
    database, output = Path(database), Path(output)
    if not database.is_file():
        raise SfmError(f"{database} does not exist; make it with `xfeat colmap --verify`")
    started = time.monotonic()
    summary = SfmSummary(str(output))
    folder = Path() if images is None else Path(images)
    summary.model = map_database(database, folder, output, config or MappingConfig(), listen=heard(listener))
    summary.problems = problems(summary.model)
    result = {"registered": summary.model.registered, "images": summary.model.images}
    summary.stages.append(StageSummary("reconstruct", time.monotonic() - started, False, result))
    return summary


def known_places(images: Path, names: Sequence[str], positions: Path | None) -> Places | None:
    """Return where photographs were taken, from a list or from their EXIF; None where nothing says so. Raises
    PairsError.
    """
    if positions is None:
        found = exif_positions([ImageFile(name, images / name) for name in names])
    else:
        found = matched_to(read_positions(positions), names)
    if not found.places:
        return None
    by_name = {name: (float(place[0]), float(place[1]), float(place[2])) for name, place in found.places.items()}
    return Places(by_name, found.origin)


def problems(model: ModelSummary) -> list[str]:
    """Return a line for each photograph that the model lacks, and for each part of the scene that came to none."""
    missing = [f"{image.name}{NO_POSE}: {image.reason}" for image in model.unregistered]
    moved = model.georegistration
    far = {} if moved is None else moved.far
    return [
        *missing,
        *model.given_up,
        *(f"{name} lies {off:,.0f} m from where it was taken: pose or position is wrong" for name, off in far.items()),
    ]


def heard(listener: Listener | None) -> Listen | None:
    """Return what passes on how far the mapper is: images registered in one component after the other."""
    if listener is None:
        return None
    component = -1

    def listen(progress: MapProgress) -> None:
        nonlocal component
        if progress.component != component:
            component = progress.component
            listener.start(progress.images)
        listener.update(Report("reconstruct", Status.OK, progress.registered, details=asdict(progress)))

    return listen
