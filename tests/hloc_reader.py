"""A reader of features and matches by hloc's rules, from the conventions of `formats.md` alone: nothing of xfeat in it.

A file that breaks a rule raises AssertionError.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def image_names(path: Path) -> set[str]:
    """Every dataset's parent is an image; none stands outside an image's group."""
    names = set()
    with h5py.File(path, "r", libver="latest") as file:

        def visit(_: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                names.add(item.parent.name.strip("/"))

        file.visititems(visit)
    assert "" not in names
    return names


def tensors(path: Path, name: str) -> dict[str, np.ndarray]:
    """Every dataset of an image's group, which hloc turns into tensors."""
    with h5py.File(path, "r", libver="latest") as file:
        found = {key: value.__array__() for key, value in file[name].items()}
    assert all(array.dtype.kind in "fiu" for array in found.values())
    return found


def keypoints(path: Path, name: str) -> tuple[np.ndarray, float | None]:
    """(N, 2) float32 and their uncertainty in pixels, None where the file states none."""
    with h5py.File(path, "r", libver="latest") as file:
        dataset = file[name]["keypoints"]
        points, uncertainty = dataset.__array__(), dataset.attrs.get("uncertainty")
    assert points.dtype == np.float32
    assert points.ndim == 2
    assert points.shape[1] == 2
    return points, None if uncertainty is None else float(uncertainty)


def pair_group(file: h5py.File, name0: str, name1: str) -> tuple[h5py.Group, bool]:
    """The group of a pair and whether it is stored the other way round."""
    for a, b, flip in ((name0, name1, False), (name1, name0, True)):
        group = "/".join((a.replace("/", "-"), b.replace("/", "-")))
        if group in file:
            return file[group], flip
    raise KeyError((name0, name1))


def matches(path: Path, name0: str, name1: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices (M, 2) and scores (M,) of a pair, asked for in either order."""
    with h5py.File(path, "r", libver="latest") as file:
        group, flip = pair_group(file, name0, name1)
        matches0 = group["matches0"].__array__()
        scores0 = group["matching_scores0"].__array__()
    assert matches0.dtype == np.int32
    assert scores0.dtype == np.float16
    assert matches0.shape == scores0.shape
    assert matches0.min(initial=-1) >= -1
    index = np.where(matches0 != -1)[0]
    found = np.stack([index, matches0[index]], axis=-1)
    return (found[:, ::-1] if flip else found), scores0[index]


def point_matches(path: Path, name0: str, name1: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (M, 2) of both images and scores (M,) of a semi-dense pair, in the order stored."""
    with h5py.File(path, "r", libver="latest") as file:
        group, flip = pair_group(file, name0, name1)
        assert not flip
        points0, points1, scores = (group[key].__array__() for key in ("keypoints0", "keypoints1", "scores"))
    assert points0.dtype == points1.dtype == np.float32
    assert points0.shape == points1.shape == (len(scores), 2)
    return points0, points1, scores
