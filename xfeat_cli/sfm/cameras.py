"""Which images one camera took, and what is known of it before anything is mapped.

Sizes and EXIF are read by ourselves, so that a photograph that COLMAP cannot read (WebP, AVIF, HEIC, RAW) has a camera
like any other. COLMAP's own list of sensors is asked where EXIF names a focal length in millimetres only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from xfeat_cli.errors import SfmError
from xfeat_cli.metadata import Metadata
from xfeat_cli.sfm.config import CameraConfig, CameraSharing
from xfeat_cli.sfm.engine import pycolmap

Size = tuple[int, int]

_UNKNOWN_FOCAL = 1.2
"""Focal length, in longest sides of the image, of a camera of which nothing is known; COLMAP's own guess."""


@dataclass(frozen=True)
class CameraGroup:
    """Images of one camera. names: sorted. why: they are taken to share it, in a few words."""

    names: tuple[str, ...]
    size: Size
    why: str


def check_model(config: CameraConfig) -> None:
    """Raise SfmError for a camera model that COLMAP does not have, or parameters that it does not take."""
    known = pycolmap().CameraModelId.__members__
    if config.model not in known or config.model == "INVALID":
        names = ", ".join(name for name in known if name != "INVALID")
        raise SfmError(f"COLMAP has no camera model {config.model!r}; it has {names}")
    if config.params is not None:
        camera = pycolmap().Camera.create_from_model_name(0, config.model, 1.0, 1, 1)
        if len(config.params) != len(camera.params):
            raise SfmError(
                f"params holds {len(config.params)} numbers, but the camera model {config.model} has "
                f"{len(camera.params)}: {camera.params_info}"
            )


def group_images(
    sizes: Mapping[str, Size], metadata: Mapping[str, Metadata], config: CameraConfig
) -> list[CameraGroup]:
    """Return the images of each camera: those of one size that EXIF, the folder or the config puts together.

    sizes: (width, height) of each stored image. metadata: what each file says.
    """
    keys = {name: _key(name, size, metadata[name], config.sharing) for name, size in sizes.items()}
    members: dict[tuple[Any, ...], list[str]] = {}
    for name in sorted(keys):
        members.setdefault(keys[name], []).append(name)
    groups = []
    for key, names in members.items():
        if key[0] == "unnamed" and not _agree([metadata[name] for name in names]):
            groups += [
                CameraGroup((name,), sizes[name], "without EXIF, and encoded in too many ways to be of one camera")
                for name in names
            ]
        else:
            groups.append(CameraGroup(tuple(names), sizes[names[0]], _why(key, len(names))))
    return groups


def make_camera(group: CameraGroup, metadata: Mapping[str, Metadata], images: Path, config: CameraConfig) -> Any:
    """Return the pycolmap.Camera of a group, not numbered yet."""
    engine = pycolmap()
    focal = _focal_px(group, metadata, images)
    width, height = group.size
    known = focal if focal is not None else _UNKNOWN_FOCAL * max(group.size)
    camera = engine.Camera.create_from_model_name(0, config.model, known, width, height)
    camera.has_prior_focal_length = focal is not None
    if config.params is not None:
        camera.params = list(config.params)
        camera.has_prior_focal_length = True
    return camera


def _key(name: str, size: Size, metadata: Metadata, sharing: CameraSharing) -> tuple[Any, ...]:
    folder = PurePosixPath(name).parent.as_posix()
    if sharing is CameraSharing.SINGLE:
        return "single", size
    if sharing is CameraSharing.PER_FOLDER:
        return "folder", folder, size
    if sharing is CameraSharing.PER_IMAGE:
        return "image", name
    if metadata.names_camera:
        said = metadata.maker, metadata.model, metadata.lens, metadata.focal_mm, metadata.focal_35mm
        return "exif", *said, size
    return "unnamed", folder, size


def _agree(metadata: list[Metadata]) -> bool:
    """Return whether images without EXIF may be of one camera: most of them were encoded alike, as one program does it.

    Photographs that were gathered from many places are not.
    """
    _, alike = Counter(one.encoder for one in metadata).most_common(1)[0]
    return 2 * alike >= len(metadata)


def _why(key: tuple[Any, ...], count: int) -> str:
    if key[0] == "exif":
        return f"EXIF: {' '.join(part for part in key[1:3] if part)}" + (f", {key[4]:g} mm" if key[4] else "")
    if key[0] == "unnamed":
        return "without EXIF, one size" + (" in one folder" if count > 1 else "")
    return {"single": "one camera for each size, as asked", "folder": "one camera a folder, as asked"}.get(
        key[0], "one camera an image, as asked"
    )


def _focal_px(group: CameraGroup, metadata: Mapping[str, Metadata], images: Path) -> float | None:
    """Return the focal length in pixels of the stored image, from the first image that tells it."""
    for name in group.names:
        if (focal := focal_px(metadata[name], images / name, group.size)) is not None:
            return focal
    return None


def focal_px(said: Metadata, path: Path, size: Size) -> float | None:
    """Return what a photograph of (width, height) tells of its focal length, pixels of the stored image; None =
    nothing.
    """
    if said.focal_px is not None and said.size == size:
        return said.focal_px
    return _of_known_sensor(path, size) if said.focal_mm is not None else None


def _of_known_sensor(path: Path, size: Size) -> float | None:
    """Return what COLMAP, which knows the sensors of many cameras, makes of an image's EXIF."""
    try:
        camera = pycolmap().infer_camera_from_image(path)
    except (RuntimeError, ValueError, OSError):
        return None
    if not camera.has_prior_focal_length or (camera.width, camera.height) != size:
        return None
    return float(camera.mean_focal_length())
