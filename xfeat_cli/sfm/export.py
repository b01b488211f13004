"""A COLMAP model → files of other programs: PLY, nerfstudio's transforms.json, Bundler, cameras.json, rerun's .rrd.

Poses and points stay in the model's own frame, so that files exported together fit one another.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.cameras import Camera, save_cameras
from xfeat_cli.coordinates import from_colmap, to_colmap
from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.files import FileKind, whole_file
from xfeat_cli.sfm.model import ModelCamera, ModelImage, SparseModel, read_sparse_model
from xfeat_cli.sfm.reconstruction import read_model

_FLIPPED = np.diag([1.0, -1.0, -1.0])
"""From COLMAP's camera axes (y down, z ahead) to those of OpenGL and Bundler (y up, z behind)."""

_DISTORTIONS = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
"""Camera models that nerfstudio knows, and their coefficients by COLMAP's names."""

_OF_BUNDLER = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_SUFFIXES = {"ply": (".ply",), "rerun": (".rrd",), "nerfstudio": (".json",), "cameras": (".json",)}


@dataclass(frozen=True)
class ExportTargets:
    """Files to write, None = not.

    ply: points with their colours. nerfstudio: transforms.json. bundler: bundle.out; the list of images is written
    beside it, with `.list.txt` after its name. cameras: K, R, t by image name, without distortion. rerun: a recording.
    """

    ply: Path | None = None
    nerfstudio: Path | None = None
    bundler: Path | None = None
    cameras: Path | None = None
    rerun: Path | None = None

    def __post_init__(self) -> None:
        named = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        if not named:
            raise UsageError("nothing to export: name a file to write, for example --ply points.ply")
        for name, path in named.items():
            suffixes = _SUFFIXES.get(name)
            if suffixes is not None and path.suffix.lower() not in suffixes:
                raise UsageError(f"{path}: give a name that ends in {suffixes[0]}")
        if len({os.path.realpath(path) for path in named.values()}) < len(named):
            raise UsageError("each file that is exported needs a name of its own")


def export_model(folder: Path, targets: ExportTargets, images: Path | None = None) -> list[Path]:
    """Write the files that are asked for; returns them.

    images: the photographs, whose paths go into transforms.json; without it their names do.
    Raises SfmError for the model, or for cameras that a format does not know, and UsageError.
    """
    model = read_sparse_model(folder)
    if not model.images:
        raise SfmError(f"{folder} holds no image with a pose: there is nothing to export")
    written: list[Path] = []
    writers: list[tuple[Path | None, Callable[[Path], list[Path]]]] = [
        (targets.ply, lambda path: _write_ply(folder, path)),
        (targets.nerfstudio, lambda path: _write_nerfstudio(model, path, images, targets.ply)),
        (targets.bundler, lambda path: _write_bundler(model, path)),
        (targets.cameras, lambda path: _write_cameras(model, path)),
        (targets.rerun, lambda path: _write_rerun(model, path)),
    ]
    for path, write in writers:
        if path is None:
            continue
        try:
            written += write(path)
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror or error})") from None
    return written


def _write_ply(folder: Path, path: Path) -> list[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        read_model(folder).export_PLY(Path(scratch) / "points.ply")
        content = (Path(scratch) / "points.ply").read_bytes()
    return _write(path, FileKind.OTHER if path.suffix == ".ply" else FileKind.TEXT, content)


def _write_nerfstudio(model: SparseModel, path: Path, images: Path | None, ply: Path | None) -> list[Path]:
    cameras = {number: _nerfstudio_camera(camera) for number, camera in model.cameras.items()}
    used = {image.camera for image in model.images}
    shared = cameras[used.pop()] if len(used) == 1 else {}
    frames = []
    for image in model.images:
        file = image.name if images is None else os.path.relpath(images / image.name, path.parent)
        frames.append(
            {
                "file_path": Path(file).as_posix(),
                "transform_matrix": camera_to_world(image).tolist(),
                **({} if shared else cameras[image.camera]),
            }
        )
    content: dict[str, Any] = {**shared, "frames": frames}
    if ply is not None:
        content["ply_file_path"] = Path(os.path.relpath(ply, path.parent)).as_posix()
    return _write(path, FileKind.JSON, json.dumps(content, indent=1).encode())


def camera_to_world(image: ModelImage) -> npt.NDArray[np.float64]:
    """Return (4, 4) of a camera whose axes are OpenGL's: x right, y up, z behind."""
    matrix = np.eye(4)
    matrix[:3, :3] = image.rotation.T @ _FLIPPED
    matrix[:3, 3] = image.centre
    return matrix


def _nerfstudio_camera(camera: ModelCamera) -> dict[str, Any]:
    """Return nerfstudio counts pixels from the corner of the image, as COLMAP does."""
    if camera.model not in _DISTORTIONS:
        raise SfmError(
            f"nerfstudio has no camera model {camera.model} (camera {camera.number}); undistort the images with "
            "`colmap image_undistorter`, and export that model"
        )
    focal_x, focal_y, centre_x, centre_y = _pinhole(camera)
    names = _DISTORTIONS[camera.model]
    return {
        "camera_model": "OPENCV_FISHEYE" if camera.model == "OPENCV_FISHEYE" else "OPENCV",
        "w": camera.size[0],
        "h": camera.size[1],
        "fl_x": focal_x,
        "fl_y": focal_y,
        "cx": centre_x,
        "cy": centre_y,
        **{"k1" if name == "k" else name: camera.parameters[name] for name in names},
    }


def _write_bundler(model: SparseModel, path: Path) -> list[Path]:
    for camera in model.cameras.values():
        if camera.model not in _OF_BUNDLER:
            raise SfmError(f"Bundler has no camera model {camera.model}; reconstruct with --camera-model RADIAL")
    lines = ["# Bundle file v0.3", f"{len(model.images)} {len(model.points)}"]
    seen: list[list[str]] = [[] for _ in model.points]
    for number, image in enumerate(model.images):
        camera = model.cameras[image.camera]
        _, _, centre_x, centre_y = _pinhole(camera)
        first, second = camera.parameters.get("k", camera.parameters.get("k1", 0.0)), camera.parameters.get("k2", 0.0)
        lines.append(f"{camera.focal_px:.10g} {first:.10g} {second:.10g}")
        lines += [" ".join(f"{value:.10g}" for value in row) for row in _FLIPPED @ image.rotation]
        lines.append(" ".join(f"{value:.10g}" for value in _FLIPPED @ image.translation))
        places = to_colmap(image.points.astype(np.float64)) - (centre_x, centre_y)
        for keypoint, (track, (x, y)) in enumerate(zip(image.tracks.tolist(), places.tolist(), strict=True)):
            seen[track].append(f"{number} {keypoint} {x:.6g} {-y:.6g}")
    for place, colour, views in zip(model.points.tolist(), model.colours.tolist(), seen, strict=True):
        lines.append(" ".join(f"{value:.10g}" for value in place))
        lines.append(" ".join(map(str, colour)))
        lines.append(" ".join([str(len(views)), *views]))
    names = path.with_name(f"{path.name}.list.txt")
    text = "".join(f"{image.name}\n" for image in model.images)
    return [
        *_write(path, FileKind.TEXT, ("\n".join(lines) + "\n").encode()),
        *_write(names, FileKind.TEXT, text.encode("utf-8", "surrogateescape")),
    ]


def _write_cameras(model: SparseModel, path: Path) -> list[Path]:
    cameras = {}
    for image in model.images:
        camera = model.cameras[image.camera]
        focal_x, focal_y, centre_x, centre_y = _pinhole(camera)
        matrix = np.array([[focal_x, 0, from_colmap(centre_x)], [0, focal_y, from_colmap(centre_y)], [0, 0, 1]])
        cameras[image.name] = Camera(matrix, image.rotation, image.translation, camera.size)
    save_cameras(path, cameras)
    return [path]


def _write_rerun(model: SparseModel, path: Path) -> list[Path]:
    try:
        import rerun
    except ImportError as error:
        raise UsageError(f"rerun is not installed ({error}); install it with: pip install 'xfeat-cli[rerun]'") from None
    recording = rerun.RecordingStream("xfeat")
    recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
    recording.log("world/points", rerun.Points3D(model.points, colors=model.colours), static=True)
    for image in model.images:
        camera = model.cameras[image.camera]
        focal_x, focal_y, centre_x, centre_y = _pinhole(camera)
        entity = f"world/cameras/{rerun.escape_entity_path_part(image.name)}"
        pose = rerun.Transform3D(translation=image.centre, mat3x3=image.rotation.T)
        lens = rerun.Pinhole(
            resolution=camera.size,
            focal_length=(focal_x, focal_y),
            principal_point=(centre_x, centre_y),
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
        recording.log(entity, pose, lens, static=True)
    with tempfile.TemporaryDirectory() as scratch:
        recording.save(Path(scratch) / "out.rrd")
        recording.flush()
        content = (Path(scratch) / "out.rrd").read_bytes()
    return _write(path, FileKind.OTHER, content)


def _pinhole(camera: ModelCamera) -> tuple[float, float, float, float]:
    """Return focal lengths and principal point, pixels, the latter from the image's corner. Raises SfmError if it has
    none.
    """
    parameters = camera.parameters
    try:
        focal_x, focal_y = (parameters.get(name, parameters.get("f")) for name in ("fx", "fy"))
        return float(focal_x), float(focal_y), parameters["cx"], parameters["cy"]  # type: ignore[arg-type]
    except (KeyError, TypeError):
        raise SfmError(
            f"camera {camera.number} ({camera.model}) has no focal length, which this format needs"
        ) from None


def _write(path: Path, kind: FileKind, content: bytes) -> list[Path]:
    with whole_file(path, kind) as file:
        file.write(content)
    return [path]
