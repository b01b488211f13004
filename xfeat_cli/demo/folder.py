"""The demo scene as a folder of photographs with their cameras."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from xfeat_cli.cameras import Camera, save_cameras
from xfeat_cli.demo.courtyard import courtyard
from xfeat_cli.demo.render import render_view
from xfeat_cli.demo.scene import Scene, finish
from xfeat_cli.demo.views import FOCAL_PER_LONG_SIDE, arc
from xfeat_cli.errors import UsageError
from xfeat_cli.files import write_text

JPEG_QUALITY = 95
MIN_SIDE, MAX_SIDE = 64, 8192

_MARKER = "README.txt"
_FIRST_LINE = "A scene rendered by `xfeat demo`."
_VIEWING_DISTANCE = 5.0  # metres; here one texel is one pixel
_FINEST_TEXEL = 0.0035  # metres; bounds the memory of very large photographs


@dataclass(frozen=True)
class DemoScene:
    """A finished scene on disk; `cameras` by image name, relative to `images`."""

    folder: Path
    cameras: Mapping[str, Camera]

    @property
    def images(self) -> Path:
        """Return the folder of photographs."""
        return self.folder / "images"

    @property
    def cameras_file(self) -> Path:
        """Return the true cameras; exists only when everything else is complete."""
        return self.folder / "cameras.json"


def build_scene(size: tuple[int, int], seed: int = 0, threads: int | None = None) -> Scene:
    """Return the courtyard, painted finely enough for photographs of `size`; its geometry is the same for every
    size.
    """
    pixel = _VIEWING_DISTANCE / (FOCAL_PER_LONG_SIDE * max(size))
    return finish(courtyard(seed), max(pixel, _FINEST_TEXEL), seed, threads or _threads())


def render_scene(
    folder: Path,
    views: int = 12,
    size: tuple[int, int] = (960, 640),
    seed: int = 0,
    depth: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DemoScene:
    """Render `views` photographs of `size` = (width, height) into `folder`, which is made if it does not exist.

    Writes images/*.jpg, depth/*.npz if asked (`depth`: (H, W) float32, z in metres at pixel centres, 0 = sky),
    pairs.txt (all pairs: every view overlaps every other), README.txt and, last, cameras.json. The same arguments
    give the same pixels. `progress(done, total)` is called after every view.

    Raises UsageError for impossible sizes, for a folder that holds anything but an earlier demo scene, and for a
    finished scene unless `overwrite`.
    """
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise UsageError(f"size {size[0]}x{size[1]}: both sides must lie between {MIN_SIDE} and {MAX_SIDE} pixels")
    if views < 2:
        raise UsageError(f"views {views}: a scene needs at least 2")
    _claim(folder, overwrite)
    cameras = {f"view_{number:03d}.jpg": camera for number, camera in enumerate(arc(views, size, seed))}
    gains = np.random.default_rng((seed, views, 1)).uniform(0.93, 1.06, views)
    scene = build_scene(size, seed)
    finished = DemoScene(folder, cameras)

    def photograph(name: str, camera: Camera, gain: float) -> None:
        image, distances = render_view(scene, camera, gain=gain)
        Image.fromarray(image).save(finished.images / name, quality=JPEG_QUALITY, subsampling=0)
        if depth:
            np.savez_compressed(folder / "depth" / f"{name}.npz", depth=distances)

    (folder / "images").mkdir(exist_ok=True)
    if depth:
        (folder / "depth").mkdir(exist_ok=True)
    with ThreadPoolExecutor(_threads()) as pool:
        jobs = [pool.submit(photograph, *view, gain) for view, gain in zip(cameras.items(), gains, strict=True)]
        _follow(jobs, progress)
    pairs = "".join(f"{a} {b}\n" for a, b in combinations(cameras, 2))
    write_text(folder / "pairs.txt", pairs)
    save_cameras(finished.cameras_file, cameras)
    return finished


def _follow(jobs: list[Future[None]], progress: Callable[[int, int], None] | None) -> None:
    try:
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            if progress is not None:
                progress(done, len(jobs))
    finally:
        for job in jobs:
            job.cancel()


def _claim(folder: Path, overwrite: bool) -> None:
    """Make the folder ours and empty of an earlier scene; only files that `render_scene` wrote are removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = (folder / _MARKER).is_file() and (folder / _MARKER).read_text("utf-8").startswith(_FIRST_LINE)
        if not ours and any(not path.is_dir() for path in folder.rglob("*")):
            raise UsageError(f"{folder} holds other files; choose a new or empty folder for the demo scene")
        if ours and (folder / "cameras.json").exists() and not overwrite:
            raise UsageError(f"{folder} already holds a demo scene; use overwrite=True to render it again")
        (folder / "cameras.json").unlink(missing_ok=True)
        for old in (*folder.glob("images/view_*.jpg"), *folder.glob("depth/view_*.jpg.npz")):
            old.unlink()
        write_text(folder / _MARKER, _readme())
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{folder} is a file; choose a folder for the demo scene") from None
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def _readme() -> str:
    return f"""{_FIRST_LINE}

images/       photographs of one courtyard, no lens distortion
cameras.json  per image: K (3 x 3, pixels), R and t (world to camera: x right, y down, z forward; metres), size
              (width, height). Pixel (0, 0) is the CENTRE of the top-left pixel.
pairs.txt     all pairs of images
depth/        only with --depth: `depth` (height, width) float32, z in metres at pixel centres, 0 = sky

cameras.json is written last: without it the scene is not complete.
"""


def _threads() -> int:
    return min(8, os.cpu_count() or 1)
