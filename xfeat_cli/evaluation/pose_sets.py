"""Readers of benchmarks whose truth is camera poses, as they are published."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from xfeat_cli.cameras import Camera
from xfeat_cli.coordinates import from_colmap
from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.comparison import Benchmark
from xfeat_cli.evaluation.homography_sets import existing_images
from xfeat_cli.evaluation.npz import read_npz
from xfeat_cli.evaluation.pose_pairs import PosePair

_AS_STORED = (0, 0)
_SCANNET_SIZE = (640, 480)
"""What ScanNet-1500's intrinsics are stated for."""

IMC_COVISIBILITY = 0.1
"""Least of a pair, as in the Image Matching Challenge."""

_HERE = np.eye(3), np.zeros(3)


def read_megadepth1500(index: Path, images: Path) -> Benchmark[PosePair]:
    """Return the five .npz files of LoFTR's `megadepth_test_1500_scene_info`, or others like them; a part for each
    scene.

    image_paths: relative to `images`; intrinsics: 3×3 in pixels of the undistorted photograph, COLMAP's; poses: 4×4,
    world to camera; pair_infos: ((i, j), overlap, …). Raises UsageError.
    """
    files = sorted(index.glob("*.npz"))
    if not files:
        raise UsageError(f"{index} holds no .npz files; give LoFTR's megadepth_test_1500_scene_info")
    pairs: list[PosePair] = []
    for file in files:
        arrays = read_npz(file)
        part = file.stem.split("_")[0]
        try:
            for (i, j), *_ in arrays["pair_infos"]:
                names, cameras = zip(
                    *((str(arrays["image_paths"][k]), _of_arrays(arrays, int(k))) for k in (i, j)), strict=True
                )
                pairs.append(PosePair(names[0], names[1], part, cameras[0], cameras[1]))
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UsageError(f"{file} is not an index of MegaDepth-1500 ({error!r})") from None
    return Benchmark("megadepth1500", pairs, existing_images(images, pairs))


def read_scannet1500(index: Path, images: Path) -> Benchmark[PosePair]:
    """Return LoFTR's `scannet_test_1500`: test.npz (name: scene, take, frame, frame) and intrinsics.npz (3×3 by scene).

    images: `scene0707_00/color/15.jpg`, and `scene0707_00/pose/15.txt` (camera to world) unless test.npz holds rel_pose
    (3×4, from the first camera to the second). Raises UsageError.
    """
    arrays, intrinsics = read_npz(index / "test.npz"), read_npz(index / "intrinsics.npz")
    relative = arrays.get("rel_pose")
    pairs = []
    try:
        for row, (scene, take, one, two) in enumerate(arrays["name"].astype(int)):
            folder = f"scene{scene:04d}_{take:02d}"
            k = np.asarray(intrinsics[folder], float).reshape(-1)[:9].reshape(3, 3)
            if relative is None:
                poses = [_scannet_pose(images / folder / "pose" / f"{frame}.txt") for frame in (one, two)]
            else:
                pose = np.asarray(relative[row], float).reshape(3, 4)
                poses = [_HERE, (pose[:, :3], pose[:, 3])]
            cameras = [Camera(k, *pose, _SCANNET_SIZE) for pose in poses]
            names = [f"{folder}/color/{frame}.jpg" for frame in (one, two)]
            pairs.append(PosePair(names[0], names[1], "scannet", cameras[0], cameras[1]))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UsageError(f"{index} is not an index of ScanNet-1500 ({error!r})") from None
    return Benchmark("scannet1500", pairs, existing_images(images, pairs))


def read_imc(folder: Path, pairs_a_scene: int, seed: int = 0) -> Benchmark[PosePair]:
    """Return PhotoTourism as in the Image Matching Challenge 2022: a folder a scene with images/, calibration.csv and
    pair_covisibility.csv; a part for each scene.

    pairs_a_scene: at most so many of those that see at least a tenth of each other, drawn by the seed. Intrinsics are
    COLMAP's. Raises UsageError.
    """
    pairs: list[PosePair] = []
    for scene in sorted(path.parent for path in folder.glob("*/calibration.csv")):
        try:
            cameras = {
                row["image_id"]: _camera(row["camera_intrinsics"], row["rotation_matrix"], row["translation_vector"])
                for row in _rows(scene / "calibration.csv")
            }
            covisible = [
                _named(row["pair"], cameras)
                for row in _rows(scene / "pair_covisibility.csv")
                if float(row["covisibility"]) >= IMC_COVISIBILITY
            ]
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(f"{scene} is not a scene of the Image Matching Challenge 2022 ({error!r})") from None
        if len(covisible) > pairs_a_scene:
            covisible = sorted(random.Random(seed).sample(covisible, pairs_a_scene))
        pairs += [
            PosePair(f"{scene.name}/images/{a}.jpg", f"{scene.name}/images/{b}.jpg", scene.name, cameras[a], cameras[b])
            for a, b in covisible
        ]
    if not pairs:
        raise UsageError(f"{folder} holds no scenes with calibration.csv and pairs in pair_covisibility.csv")
    return Benchmark("imc", pairs, existing_images(folder, pairs))


def _of_arrays(arrays: dict[str, np.ndarray], number: int) -> Camera:
    pose = np.asarray(arrays["poses"][number], float).reshape(4, 4)
    return _centred(np.asarray(arrays["intrinsics"][number], float).reshape(3, 3), pose[:3, :3], pose[:3, 3])


def _camera(intrinsics: str, rotation: str, translation: str) -> Camera:
    k, r, t = (np.array(text.split(), float) for text in (intrinsics, rotation, translation))
    return _centred(k.reshape(3, 3), r.reshape(3, 3), t.reshape(3))


def _centred(k: Any, rotation: Any, translation: Any) -> Camera:
    """Return a camera whose principal point COLMAP states."""
    k = k.copy()
    k[:2, 2] = from_colmap(k[:2, 2])
    if not all(np.isfinite(part).all() for part in (k, rotation, translation)):
        raise ValueError("a camera is not finite")
    return Camera(k, rotation, translation, _AS_STORED)


def _scannet_pose(path: Path) -> tuple[Any, Any]:
    """Return the rotation and translation from world to camera."""
    try:
        pose = np.linalg.inv(np.array(path.read_text(encoding="utf-8").split(), float).reshape(4, 4))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from None
    return pose[:3, :3], pose[:3, 3]


def _rows(path: Path) -> Iterable[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from None


def _named(pair: str, cameras: dict[str, Camera]) -> tuple[str, str]:
    """Return the two images of `one-two`, whose names may hold hyphens."""
    parts = pair.split("-")
    for cut in range(1, len(parts)):
        one, two = "-".join(parts[:cut]), "-".join(parts[cut:])
        if one in cameras and two in cameras:
            return one, two
    raise ValueError(f"{pair} names no two images of calibration.csv")
