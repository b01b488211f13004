"""A verified database → COLMAP models, and what a model is like."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.sfm.config import Mapper, MappingConfig
from xfeat_cli.sfm.engine import pycolmap


@dataclass(frozen=True)
class ModelSummary:
    """registered: images with a pose, of `images`. reprojection_px: mean distance of observation and projection.

    models: how many separate models there are; the figures are of the largest.
    """

    folder: str
    registered: int
    images: int
    points: int
    mean_track_length: float
    reprojection_px: float
    models: int = 1


def map_database(database: Path, images: Path, models: Path, config: MappingConfig) -> ModelSummary:
    """Reconstruct into the folders `models`/0, 1, …, the one with most images first; `models` appears whole or not.

    An earlier `models` is replaced. Raises SfmError when no two images can be reconstructed.
    """
    engine = pycolmap()
    partial = models.with_name(f".{models.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        found = _map(database, images, partial, config)
        if not found:
            raise SfmError(
                f"nothing could be reconstructed from {database}: no two images share enough of the scene; give images "
                "that overlap, or match more pairs"
            )
        ordered = sorted(found.values(), key=lambda model: (-model.num_reg_images(), -model.num_points3D()))
        shutil.rmtree(partial)
        for number, model in enumerate(ordered):
            if config.refine_principal_point:
                _refine_principal_points(model, config.threads)
            (partial / str(number)).mkdir(parents=True)
            model.write(partial / str(number))
        shutil.rmtree(models, ignore_errors=True)
        os.replace(partial, models)
    except OSError as error:
        raise SfmError(f"{models} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    with engine.Database.open(database) as opened:
        return _summary(models / "0", ordered[0], opened.num_images(), len(ordered))


def read_model(folder: Path) -> Any:
    """The pycolmap.Reconstruction of a model folder. Raises SfmError when there is none or it is damaged."""
    if not any((folder / f"images.{kind}").is_file() for kind in ("bin", "txt")):
        raise SfmError(f"{folder} holds no COLMAP model (cameras, images and points3D, as .bin or .txt)")
    try:
        return pycolmap().Reconstruction(folder)
    except (RuntimeError, ValueError, OSError) as error:
        raise SfmError(f"{folder}: the COLMAP model cannot be read ({error})") from None


def _map(database: Path, images: Path, output: Path, config: MappingConfig) -> dict[int, Any]:
    engine = pycolmap()
    if config.mapper is Mapper.GLOBAL:
        options = engine.GlobalPipelineOptions()
    else:
        options = engine.IncrementalPipelineOptions()
    options.num_threads = config.threads
    options.random_seed = config.seed
    try:
        if config.mapper is Mapper.GLOBAL:
            return dict(engine.global_mapping(database, images, output, options))
        return dict(engine.incremental_mapping(database, images, output, options))
    except (RuntimeError, ValueError) as error:
        raise SfmError(f"COLMAP's {config.mapper.value} mapper failed on {database}: {error}") from None


def _refine_principal_points(model: Any, threads: int) -> None:
    """Adjust a whole model once more with principal points free: while it grows, few images would let them drift."""
    engine = pycolmap()
    options = engine.BundleAdjustmentOptions()
    options.refine_principal_point = True
    options.print_summary = False
    options.ceres.solver_options.num_threads = threads
    everything = engine.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        everything.add_image(image_id)
    everything.fix_gauge(engine.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    engine.create_default_bundle_adjuster(options, everything, model).solve()
    model.update_point_3d_errors()


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
