"""Readers of benchmarks whose truth is homographies: HPatches, and folders with a gt.json.

Homographies map pixels of the first photograph to pixels of the second, (0, 0) at the centre of the top-left pixel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from xfeat_cli.errors import UsageError
from xfeat_cli.evaluation.comparison import Benchmark
from xfeat_cli.evaluation.homography import HomographyPair
from xfeat_cli.images import ImageFile
from xfeat_cli.types import FloatArray

LARGE_SEQUENCES = frozenset(
    f"{kind}_{name}"
    for kind, names in (
        ("i", ("contruction", "crownnight", "dc", "pencils", "whitebuilding")),
        ("v", ("artisans", "astronautis", "talent")),
    )
    for name in names
)
"""Those of HPatches that D2-Net (Dusmanu et al., CVPR 2019), as many papers since, leaves out for their size."""

_PARTS = {"i": "light", "v": "viewpoint"}
_SUFFIXES = (".ppm", ".png", ".jpg")
_LAST = 6


def read_gt_json(folder: Path) -> Benchmark[HomographyPair]:
    """Return a folder with `images/` and `gt.json`: {"name0 name1": {"H": 3×3}, …}, tab separated if names hold spaces.

    A pair's part is its first image's folder, or its name without the number at its end. Raises UsageError.
    """
    path = folder / "gt.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8")).items()
        pairs = [_pair(key, entry, path) for key, entry in entries]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror or error}); the folder holds images/ and gt.json"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f'{path} is not a list of homographies, {{"name0 name1": {{"H": 3×3}}}} ({error!r})') from None
    return Benchmark(folder.resolve().name, pairs, existing_images(folder / "images", pairs))


def read_hpatches(folder: Path, leave_out: Iterable[str] = ()) -> Benchmark[HomographyPair]:
    """Return the published layout: `i_*` (light) and `v_*` (viewpoint) folders of 1.ppm … 6.ppm and H_1_2 … H_1_6.

    leave_out: names of sequences. Raises UsageError.
    """
    skipped = frozenset(leave_out)
    sequences = sorted(path for path in folder.glob("[iv]_*") if path.is_dir() and path.name not in skipped)
    if not sequences:
        raise UsageError(f"{folder} holds no i_* or v_* folders; give the folder that HPatches' sequences are in")
    pairs = []
    for sequence in sequences:
        names = [f"{sequence.name}/{_image_name(sequence, number)}" for number in range(1, _LAST + 1)]
        part = _PARTS[sequence.name[0]]
        for number in range(2, _LAST + 1):
            homography = _homography_file(sequence / f"H_1_{number}")
            pairs.append(HomographyPair(names[0], names[number - 1], part, homography))
    return Benchmark("hpatches", pairs, existing_images(folder, pairs))


def existing_images(root: Path, pairs: Iterable[Any]) -> list[ImageFile]:
    """Return the photographs of some pairs, sorted by name. Raises UsageError if one lies outside the folder or is
    missing.
    """
    names = sorted({name for pair in pairs for name in (pair.image0, pair.image1)})
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UsageError(f"{name!r} lies outside {root}")
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise UsageError(f"{root} lacks {len(missing)} of {len(names)} photographs, the first is {missing[0]}")
    return [ImageFile(name, root / name) for name in names]


def _pair(key: str, entry: Any, path: Path) -> HomographyPair:
    names = key.split("\t") if "\t" in key else key.split()
    if len(names) != 2:
        raise ValueError(f"{key!r} does not name two images")
    return HomographyPair(names[0], names[1], _sequence(names[0]), _homography(entry["H"], f"{path}, {key!r}"))


def _sequence(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent) if len(path.parts) > 1 else re.sub(r"[ _-]?\d+$", "", path.stem) or path.stem


def _image_name(sequence: Path, number: int) -> str:
    """The published images are PPM; some keep them in another format."""
    names = [f"{number}{suffix}" for suffix in _SUFFIXES]
    return next((name for name in names if (sequence / name).is_file()), names[0])


def _homography_file(path: Path) -> FloatArray:
    try:
        numbers = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return _homography(numbers, str(path))


def _homography(numbers: Any, where: str) -> FloatArray:
    try:
        matrix = np.asarray(numbers, float).reshape(3, 3)
    except (ValueError, TypeError):
        raise UsageError(f"{where}: a homography is 3×3 numbers") from None
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise UsageError(f"{where}: the homography cannot be inverted")
    return matrix
