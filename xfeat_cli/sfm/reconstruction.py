"""A verified database → COLMAP models, and what a model is like."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.errors import SfmError
from xfeat_cli.files import sync_folder
from xfeat_cli.sfm.config import MappingConfig
from xfeat_cli.sfm.engine import pycolmap
from xfeat_cli.sfm.georegistration import GeoRegistration, Places, georegister, write_registration
from xfeat_cli.sfm.mappers import run_mapper
from xfeat_cli.sfm.model_files import check_model_files
from xfeat_cli.sfm.process import Listen, in_child
from xfeat_cli.sfm.unregistered import Unregistered, explain
from xfeat_cli.sfm.verified import open_verified

ENOUGH_IMAGES = 10
"""Registered images of a camera from which its principal point is estimated unless the config says otherwise."""

_MOST_ITERATIONS = 25
_LEAST_LOSS_SCALE = 0.05
"""Pixels."""

_MODEL_FILE = re.compile(r"(cameras|images|points3D|frames|rigs)\.(bin|txt)|project\.ini|georegistration\.json")
"""What COLMAP writes into a model's folder."""


_MARK = ".xfeat"
"""Stands in folders of models that xfeat made."""


@dataclass(frozen=True)
class ModelSummary:
    """registered: images with a pose, of `images`. reprojection_px: mean distance of observation and projection.

    models: how many separate models there are; the figures are of the largest.
    unregistered: the images that the largest lacks, each with the likely reason. given_up: lines on the parts of the
    scene of which no model could be made. georegistration: how the largest was moved to positions that are known.
    """

    folder: str
    registered: int
    images: int
    points: int
    mean_track_length: float
    reprojection_px: float
    models: int = 1
    unregistered: list[Unregistered] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    georegistration: GeoRegistration | None = None


def map_database(
    database: Path,
    images: Path,
    models: Path,
    config: MappingConfig,
    places: Places | None = None,
    *,
    listen: Listen | None = None,
) -> ModelSummary:
    """Reconstruct into the folders `models`/0, 1, …, the one with most images first; `models` appears whole or not.

    An earlier `models` is replaced if xfeat made it; files in it that are no model's stay. places: where the
    photographs were taken, to move the models there. listen: told of progress.
    Raises SfmError when no two images can be reconstructed.
    """
    partial = models.with_name(f".{models.name}.part")
    try:
        _recover(models)
        check_models(models)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        summary = in_child(
            map_into, database, images, partial, config, places, place=models, doing="mapping", listen=listen
        )
        (partial / _MARK).touch()
        _replace(partial, models)
    except OSError as error:
        raise SfmError(f"{models} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(summary, folder=str(models / "0"))


def check_models(models: Path) -> None:
    """Raise SfmError where models would replace what xfeat did not make."""
    if models.exists() and not models.is_dir():
        raise SfmError(f"{models} is a file, so it is left alone; name another folder")
    if models.is_dir() and any(models.iterdir()) and not (models / _MARK).exists():
        raise SfmError(f"{models} was not made by this version of xfeat, so it is left alone; name another folder")


def map_into(
    database: Path,
    images: Path,
    folder: Path,
    config: MappingConfig,
    places: Places | None = None,
    *,
    listen: Listen | None = None,
) -> ModelSummary:
    """Write the models of a verified database into an empty folder, as `map_database` does, in this process."""
    mapped = run_mapper(database, images, folder, config, listen)
    if not mapped.models:
        raise SfmError(
            f"nothing could be reconstructed from {database}: no two images share enough of the scene; give images "
            "that overlap, or match more pairs"
        )
    ordered = sorted(mapped.models, key=lambda model: (-model.num_reg_images(), -model.num_points3D()))
    for written in folder.iterdir():
        shutil.rmtree(written)
    registrations: list[GeoRegistration | None] = []
    for number, model in enumerate(ordered):
        if config.robust or _freed_cameras(model, config):
            _adjust(model, config)
        moved = None if places is None else georegister(model, places)
        registrations.append(moved)
        (folder / str(number)).mkdir()
        model.write(folder / str(number))
        if moved is not None and not moved.problem:
            write_registration(folder / str(number), moved)
    with open_verified(database) as verified:
        table = verified.table()
    registered = [{image.name for image in model.images.values() if image.has_pose} for model in ordered]
    summary = _summary(folder / "0", ordered[0], len(table.names), len(ordered))
    return replace(
        summary,
        unregistered=explain(table, registered),
        given_up=mapped.given_up,
        georegistration=registrations[0],
    )


def _replace(partial: Path, models: Path) -> None:
    """Give new models their name. What a user has put beside the old ones is carried over."""
    if models.exists():
        os.replace(models, _former(models))
    os.replace(partial, models)
    _recover(models)
    sync_folder(models.parent)


def _recover(models: Path) -> None:
    """Finish a replacement: of the former models only what is no model's is kept, with them."""
    former = _former(models)
    if not former.exists():
        return
    if not models.exists():  # interrupted between the two renames
        os.replace(former, models)
        return
    for path in sorted(former.rglob("*")):
        kept = models / path.relative_to(former)
        if path.is_file() and path.name != _MARK and not _MODEL_FILE.fullmatch(path.name) and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, kept)
    shutil.rmtree(former)


def _former(models: Path) -> Path:
    return models.with_name(f".{models.name}.former")


def read_model(folder: Path) -> Any:
    """Return the pycolmap.Reconstruction of a model folder. Raises SfmError when there is none or it is damaged."""
    if not any((folder / f"images.{kind}").is_file() for kind in ("bin", "txt")):
        raise SfmError(f"{folder} holds no COLMAP model (cameras, images and points3D, as .bin or .txt)")
    check_model_files(folder)
    try:
        return pycolmap().Reconstruction(folder)
    except (MemoryError, RuntimeError, ValueError, OSError) as error:
        raise SfmError(f"{folder}: the COLMAP model cannot be read ({error})") from None


def _adjust(model: Any, config: MappingConfig) -> None:
    """Adjust a whole model once more, robustly.

    COLMAP's own adjustment minimises squares, and the wrong matches that its filter of 4 px lets pass turn every pose.
    Principal points are freed only now: while a model grows, few images would let them drift.
    """
    engine = pycolmap()
    options = engine.BundleAdjustmentOptions()
    freed = _freed_cameras(model, config)
    options.refine_principal_point = bool(freed)
    options.print_summary = False
    if config.robust:
        options.ceres.loss_function_type = engine.LossFunctionType.CAUCHY
        options.ceres.loss_function_scale = _loss_scale(model)
    options.ceres.solver_options.num_threads = config.threads
    options.ceres.solver_options.max_num_iterations = _MOST_ITERATIONS
    everything = engine.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        everything.add_image(image_id)
    for camera_id in model.cameras if freed else ():
        if camera_id not in freed:
            everything.set_constant_cam_intrinsics(camera_id)
    everything.fix_gauge(engine.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    engine.create_default_bundle_adjuster(options, everything, model).solve()
    model.update_point_3d_errors()


def _freed_cameras(model: Any, config: MappingConfig) -> set[int]:
    """Return the cameras whose principal points are estimated: as the config says, or those that enough images
    share.
    """
    if config.refine_principal_point is not None:
        return set(model.cameras) if config.refine_principal_point else set()
    shared = Counter(model.images[image_id].camera_id for image_id in model.reg_image_ids())
    return {camera for camera, images in shared.items() if images >= ENOUGH_IMAGES}


def _loss_scale(model: Any) -> float:
    """Return pixels from which a residual counts less: half as much again as what points usually show."""
    errors = [point.error for point in model.points3D.values()]
    return max(_LEAST_LOSS_SCALE, 1.5 * float(np.median(errors))) if errors else 1.0


def _summary(folder: Path, model: Any, images: int, models: int) -> ModelSummary:
    return ModelSummary(
        folder=str(folder),
        registered=model.num_reg_images(),
        images=images,
        points=model.num_points3D(),
        mean_track_length=model.compute_mean_track_length(),
        reprojection_px=model.compute_mean_reprojection_error(),
        models=models,
    )
