"""The photographs a training run learns from, in memory, and canvases cut from them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.images import ImageFile, find_images, read_photo
from xfeat_cli.synthesis.geometry import uniform
from xfeat_cli.synthesis.pairs import CANVAS_PER_VIEW
from xfeat_cli.training.config import MIN_PHOTOS

MIN_SIDE = 160
"""A photograph whose shorter side is below this many px is left out."""

_ENLARGEMENT = 1.5
"""Most that a part of a photograph is enlarged."""


class Photos(Sequence[Tensor]):
    """Gray photographs (h, w) uint8 in one piece of memory, so that processes can share them and a GPU hold them."""

    def __init__(self, photos: Sequence[Tensor]) -> None:
        self._shapes = [(photo.shape[0], photo.shape[1]) for photo in photos]
        self._starts = [0, *accumulate(height * width for height, width in self._shapes)]
        self._pixels = torch.cat([photo.flatten() for photo in photos])

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return self._pixels[self._starts[index] : self._starts[index + 1]].view(self._shapes[index])

    def to(self, device: torch.device) -> Photos:
        """Return the same photographs, held by a device; on a CPU where other processes see them."""
        if device.type == "cpu":
            self._pixels.share_memory_()  # type: ignore[no-untyped-call]
        else:
            self._pixels = self._pixels.to(device)
        return self

    def digest(self) -> str:
        """Return BLAKE2b of all pixels and shapes."""
        shapes = hashlib.blake2b(repr(self._shapes).encode(), digest_size=16)
        shapes.update(self._pixels.cpu().numpy().tobytes())
        return shapes.hexdigest()


@dataclass(frozen=True)
class Kept:
    """A photograph as training keeps it: pixels (h, w) uint8, gray; size and shown as of `images.Photo`."""

    pixels: Tensor
    size: tuple[int, int]
    shown: tuple[int, int]


def read_kept(files: Sequence[ImageFile], longest: int, report: Callable[[str], None]) -> dict[str, Kept]:
    """Return photographs by name, longest side at most `longest`; what cannot be used goes to `report`, one
    line each.
    """

    def read(file: ImageFile) -> Kept | str:
        try:
            photo = read_photo(file, longest, upright=False)
        except ImageError as error:
            return f"left out: {error}"
        if min(photo.gray.shape) < MIN_SIDE:
            return f"left out: {file.path}: its shorter side is below {MIN_SIDE} px"
        pixels = torch.from_numpy(np.rint(photo.gray * 255).astype(np.uint8))
        return Kept(pixels, photo.size, photo.shown)

    with ThreadPoolExecutor() as pool:
        read_files = list(pool.map(read, files))
    photos = {}
    for file, photo in zip(files, read_files, strict=True):
        if isinstance(photo, str):
            report(photo)
        else:
            photos[file.name] = photo
    return photos


def load_photos(
    folders: Sequence[Path], longest: int, most: int, seed: int, report: Callable[[str], None]
) -> dict[str, Tensor]:
    """Return gray photographs (h, w) uint8 by name, as `load_kept`."""
    return {name: kept.pixels for name, kept in load_kept(folders, longest, most, seed, report).items()}


def load_kept(
    folders: Sequence[Path], longest: int, most: int, seed: int, report: Callable[[str], None]
) -> dict[str, Kept]:
    """Return photographs by name, FOLDER/NAME, of at most `most` files of the folders, longest side at most `longest`.

    What cannot be read or is too small goes to `report`, one line each. Raises UsageError when too few are left.
    """
    files = [ImageFile(str(folder / file.name), file.path) for folder in folders for file in find_images(folder)]
    if len(files) > most:
        chosen = np.random.default_rng(seed).permutation(len(files))[:most]
        report(f"{len(files)} photographs, of which {most} are used (max_photos)")
        files = [files[i] for i in sorted(chosen)]

    photos = read_kept(files, longest, report)
    if len(photos) < MIN_PHOTOS:
        raise UsageError(
            f"{len(photos)} usable photographs in {', '.join(map(str, folders))}; training needs at least "
            f"{MIN_PHOTOS}, each at least {MIN_SIDE} px on its shorter side"
        )
    return photos


def split_held_out(photos: dict[str, Tensor], held_out: int, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return photographs to train on, and those to validate on: at most a fifth."""
    names = sorted(photos)
    count = min(held_out, len(names) // 5)
    chosen = set(np.random.default_rng((seed, 1)).permutation(len(names))[:count].tolist())
    return (
        {name: photos[name] for i, name in enumerate(names) if i not in chosen},
        {name: photos[name] for i, name in enumerate(names) if i in chosen},
    )


def canvas_size(view: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the canvas for a view of (height, width)."""
    return math.ceil(view[0] * CANVAS_PER_VIEW), math.ceil(view[1] * CANVAS_PER_VIEW)


def cut_canvases(generator: Generator, photos: Sequence[Tensor], count: int, view: tuple[int, int]) -> Tensor:
    """Return random parts of random photographs (h, w) uint8, some mirrored: (count, 1, H, W) in [0, 1], for `view`."""
    return torch.stack([_cut(generator, photos, canvas_size(view)) for _ in range(count)])


def _cut(generator: Generator, photos: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
    device = generator.device
    chosen = int(torch.randint(len(photos), (1,), generator=generator, device=device))
    where = uniform(generator, 4, low=0.0, high=1.0).tolist()
    photo = photos[chosen]
    if where[3] < 0.15:
        photo = photo.T
    height, width = photo.shape
    least, largest = scale_range((height, width), canvas)
    scale = least * (largest / least) ** (1 - where[0] ** 2)
    rows, columns = (min(side, max(1, round(scale * c))) for side, c in zip((height, width), canvas, strict=True))
    top, left = round(where[1] * (height - rows)), round(where[2] * (width - columns))
    part = resampled(photo[top : top + rows, left : left + columns], canvas)[None]
    return part.flip(-1) if where[3] > 0.6 else part


def scale_range(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float]:
    """Return least and largest px of a photograph of (height, width) that a px of a part of it, as `target`,
    may show.
    """
    largest = min(size[0] / target[0], size[1] / target[1])
    return min(largest, max(1 / _ENLARGEMENT, largest / 4)), largest


def resampled(part: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a part (h, w) uint8 of a photograph at (height, width): [0, 1]."""
    resized = F.interpolate(part[None, None].float() / 255, size, mode="bilinear", antialias=True)
    return resized[0, 0].clamp(0, 1)
