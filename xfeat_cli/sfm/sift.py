"""COLMAP's own SIFT in a database: what XFeat is compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.pairing.lists import write_pairs
from xfeat_cli.sfm.cameras import check_model
from xfeat_cli.sfm.config import CameraConfig, CameraSharing
from xfeat_cli.sfm.engine import pycolmap
from xfeat_cli.sfm.process import Listen
from xfeat_cli.types import Pair


@dataclass(frozen=True)
class SiftSummary:
    """keypoints: of all images."""

    images: int
    keypoints: int


def extract_sift(
    database: Path,
    images: Path,
    names: Sequence[str],
    config: CameraConfig,
    threads: int = -1,
    *,
    listen: Listen | None = None,
) -> SiftSummary:
    """Return SIFT of images (names relative to the folder `images`) into a new database, with COLMAP's defaults, on the
    CPU.

    Images that COLMAP cannot read are left out. Raises SfmError when it can read none.
    """
    engine = pycolmap()
    check_model(config)
    reader = engine.ImageReaderOptions()
    reader.camera_model = config.model
    if config.params is not None:
        reader.camera_params = ",".join(map(str, config.params))
    options = engine.FeatureExtractionOptions()
    options.use_gpu = False
    options.num_threads = threads
    engine.extract_features(database, images, list(names), _camera_mode(config), reader, options, engine.Device.cpu)
    with engine.Database.open(database) as opened:
        summary = SiftSummary(opened.num_images(), opened.num_keypoints())
    if not summary.keypoints:
        raise SfmError(f"COLMAP finds no SIFT keypoints in {images}")
    return summary


def match_sift(database: Path, pairs: Sequence[Pair], threads: int = -1, *, listen: Listen | None = None) -> int:
    """Match pairs of a database's images, with COLMAP's defaults but unverified; returns the number of matches.

    Raises SfmError for names that COLMAP's list of pairs cannot hold.
    """
    engine = pycolmap()
    for name in (name for pair in pairs for name in pair):
        if any(c.isspace() for c in name):
            raise SfmError(f"COLMAP's list of pairs cannot hold the image name {name!r}; rename the file")
    options = engine.FeatureMatchingOptions()
    options.use_gpu = False
    options.num_threads = threads
    options.skip_geometric_verification = True
    pairing = engine.ImportedPairingOptions()
    with tempfile.TemporaryDirectory() as folder:
        pairing.match_list_path = Path(folder) / "pairs.txt"
        write_pairs(pairing.match_list_path, pairs)
        engine.match_image_pairs(database, options, pairing, device=engine.Device.cpu)
    with engine.Database.open(database) as opened:
        return int(opened.num_matches())


def _camera_mode(config: CameraConfig) -> Any:
    """Return COLMAP's own way of sharing cameras that is nearest to the config's."""
    modes = {CameraSharing.SINGLE: "SINGLE", CameraSharing.PER_FOLDER: "PER_FOLDER", CameraSharing.AUTO: "AUTO"}
    return getattr(pycolmap().CameraMode, modes.get(config.sharing, "PER_IMAGE"))
