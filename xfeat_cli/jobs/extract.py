"""Features of a whole collection of photographs: decode, network and writing overlap; resumable.

On a CPU a worker takes an image from its file to its features, on one thread. For GPUs workers decode, one thread
gathers batches of images of one size, and each batch goes to a GPU that is free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from xfeat_cli.config import Backend, ExtractConfig, Mode, Precision, Rotations, require_whole
from xfeat_cli.coordinates import turned, upright_size
from xfeat_cli.errors import ImageError, ProvenanceError, UsageError
from xfeat_cli.files import warn_once
from xfeat_cli.images import ImageFile, Photo, file_digest, find_images, image_root, read_photo, turned_to
from xfeat_cli.jobs import folders
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.jobs.rotation import TurnFinder
from xfeat_cli.jobs.writing import Writer, conclude
from xfeat_cli.machine.devices import resolve_devices
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order
from xfeat_cli.model.backends import BACKENDS
from xfeat_cli.photo_names import walk
from xfeat_cli.store.layout import features_entry, partial_path
from xfeat_cli.store.reader import FeaturesReader, begun_with
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features
from xfeat_cli.xfeat import XFeat

Read = Callable[[ImageFile], Photo]


def extract(
    images: str | Path | Sequence[str | Path],
    output: str | Path = "out.h5",
    config: ExtractConfig | None = None,
    *,
    image_list: Iterable[str] | None = None,
    masks: str | Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    renew: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> Summary:
    """Extract the features of all photographs of a folder into an HDF5 file that hloc reads.

    An image that cannot be read is reported and skipped. A run that was interrupted goes on where it stopped.

    Args:
        images: a folder, walked recursively, one image, or several of both, which are named relative to the deepest
            folder that holds all of them. The file remembers that folder and refuses another one's photographs.
        output: the features file to write.
        config: how features are made; its device may be several GPUs (`cuda:0,cuda:1`), which share the work.
        image_list: names within the folder, instead of all of it.
        masks: folder of `name.jpg.png`, black = ignore.
        workers: images that are computed at once on a CPU, or decoded at once for GPUs.
        overwrite: start again; without it a file of other options, weights or changed images is refused.
        renew: keep the output to what the folder holds now: entries of images that are gone are removed, those of
            changed images made again.
        listener: told of each image.
        **options: fields of `ExtractConfig`, in place of those of `config`.

    Returns:
        What was done, with each image that failed and the reason.

    Raises:
        UsageError: there is nothing to read, or the options cannot work.
        WeightsError: the weights are missing or damaged.
        StoreError: the output cannot be written, or was made with other options.
    """
    started = time.monotonic()
    config = replace(config or ExtractConfig(), **options)
    if workers is not None:
        require_whole("workers", workers, 1, 1024)
    given = [Path(images)] if isinstance(images, (str, Path)) else list(map(Path, images))
    output = Path(output)
    mask_folder = _mask_folder(masks)
    files = find_images(given, image_list, mask_folder)
    root = image_root(given)
    if mask_folder is not None:
        _check_masks(mask_folder, files, root)
    devices = resolve_devices(config.device)
    if not overwrite:
        config = _as_begun(config, devices[0], begun_with(output))
    extractors = [XFeat(config, device=str(device)) for device in dict.fromkeys(devices)]
    xfeat = extractors[0]
    summary = Summary(str(output), device=",".join(map(str, devices)), precision=xfeat.runtime.precision.value)
    tally = Tally(summary, listener)
    kind = "features" if xfeat.config.mode is Mode.SPARSE else "semi-dense features"
    was_unfinished = partial_path(output).exists()
    provenance, inputs = _provenance(xfeat, mask_folder), [*given, *(file.path for file in files)]
    remembered = {"images": str(root.resolve())}
    with Store.open(output, kind, provenance, overwrite=overwrite, inputs=inputs, remembered=remembered) as store:
        if renew:
            _renew(files, root, store, mask_folder, summary)
        else:
            folders.check_same_folder(store, root, files)
        todo, skipped = _split_done(files, store, mask_folder)
        tally.start(len(files))
        for file in skipped:
            tally.add(Report(file.name, Status.SKIPPED))
        on_cpu = xfeat.runtime.device.type == "cpu"
        detect = _detected_by_workers if on_cpu else _detected_in_batches
        workers = workers or default_workers(on_cpu)
        read = partial(read_photo, longest=config.resize, masks=mask_folder, upright=config.upright)
        detected = detect(todo, extractors, read, workers, tally)
        with Writer() as writer, closing(detected):
            for photo, features in detected:
                writer.put(lambda photo=photo, features=features: _write(store, photo, features))  # type: ignore[misc]
                tally.add(_report(photo, features))
        if config.rotations is not Rotations.NONE and (todo or was_unfinished):
            store.commit()
            turner = _Turner(store, files, extractors[0], read, workers)
            summary.turned = turner.turn(settled={file.name for file in skipped})
        conclude(store, summary)
    summary.seconds = time.monotonic() - started
    return summary


def _as_begun(config: ExtractConfig, device: torch.device, begun: dict[str, Any]) -> ExtractConfig:
    """On a CPU, `auto` for a file that is there already means what it was begun with, where that still runs: what is
    fastest may be measured otherwise from one day to another."""
    if device.type != "cpu":
        return config
    try:
        precision, backend = Precision(begun.get("xfeat_precision")), Backend(begun.get("xfeat_backend"))
    except ValueError:
        return config
    if config.precision is not Precision.AUTO:
        precision = config.precision
    if config.backend is not Backend.AUTO:
        backend = config.backend
    if precision is Precision.FP16 or BACKENDS[backend].refusal(device, precision):
        return config
    return replace(config, precision=precision, backend=backend)


def default_workers(on_cpu: bool) -> int:
    """Return one for each processor this process may use; for a GPU at most 16, which feed it."""
    return usable_cores() if on_cpu else min(16, usable_cores())


def _mask_folder(masks: str | Path | None) -> Path | None:
    if masks is None:
        return None
    if not Path(masks).is_dir():
        raise UsageError(f"{masks} is no folder of masks: give the one that holds NAME.jpg.png for image NAME.jpg")
    return Path(masks)


def _check_masks(masks: Path, files: list[ImageFile], root: Path) -> None:
    """Raise UsageError when no mask fits any image; warn about masks that fit none."""
    if not any((masks / f"{file.name}.png").exists() for file in files):
        example = files[0].name
        raise UsageError(f"{masks} holds no mask of any of {len(files)} images: name that of {example} {example}.png")
    unfit = [name for name in walk(masks).photographs if not (root / name.removesuffix(".png")).is_file()]
    if unfit:
        shown = f"{', '.join(unfit[:3])}{' …' if len(unfit) > 3 else ''}"
        warn_once(
            f"{masks}: {len(unfit)} masks fit no image and are not used ({shown}); name the mask of a.jpg a.jpg.png"
        )


def _provenance(xfeat: XFeat, masks: Path | None) -> dict[str, str | int | float]:
    config, info = xfeat.config, xfeat.runtime.info
    provenance: dict[str, str | int | float] = {
        "weights": info.name,
        "weights_sha256": info.sha256,
        "min_cossim": info.min_cossim,
        "mode": config.mode.value,
        "decoding": config.decoding.value,
        "top_k": config.features_per_image,
        "resize": config.resize,
        "reduction": "dct, area unrounded",  # what reduces an image to that size
        "upright": "yes" if config.upright else "no",
        "rotations": config.rotations.value,
        "tiles": "auto" if config.tiles is None else config.tiles,
        "precision": xfeat.runtime.precision.value,
        "backend": xfeat.runtime.backend.value,
        "masks": "yes" if masks else "no",
    }
    if config.mode is Mode.SPARSE:
        provenance["detection_threshold"] = config.detection_threshold
        provenance["grids"] = config.grids
    return provenance


def _renew(files: list[ImageFile], root: Path, store: Store, masks: Path | None, summary: Summary) -> None:
    """Remove the entries of images that are gone or have changed."""
    moved = folders.remember(store, root)
    present = {file.name: file for file in files}
    stored = store.names()
    summary.removed = sorted(stored - present.keys())
    summary.renewed = sorted(
        name
        for name in stored & present.keys()
        if _has_changed(present[name], store.attributes(name), masks)
        or (moved and not folders.is_unchanged(present[name], store))
    )
    for name in (*summary.removed, *summary.renewed):
        store.remove(name)


def _split_done(files: list[ImageFile], store: Store, masks: Path | None) -> tuple[list[ImageFile], list[ImageFile]]:
    """Return which images are still to do, and which the store holds already; changed ones are refused."""
    stored = store.names()
    todo, done, changed = [], [], []
    for file in files:
        if file.name not in stored:
            todo.append(file)
            continue
        done.append(file)
        if _has_changed(file, store.attributes(file.name), masks):
            changed.append(file.name)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ProvenanceError(
            f"these images changed since their features were made: {', '.join(changed[:3])}{more}; "
            "use overwrite=True to start again, or another output name"
        )
    return todo, done


def _has_changed(file: ImageFile, attributes: dict[str, Any], masks: Path | None) -> bool:
    try:
        stat = file.path.stat()
        mask = masks / f"{file.name}.png" if masks else None
        if attributes["mask_digest"] != (file_digest(mask) if mask and mask.exists() else ""):
            return True
        if (stat.st_size, stat.st_mtime_ns) == (attributes["image_bytes"], attributes["image_mtime_ns"]):
            return False
        return bool(file_digest(file.path) != attributes["image_digest"])
    except (OSError, ImageError):
        return False


def _detected_by_workers(
    files: list[ImageFile], extractors: list[XFeat], read: Read, workers: int, tally: Tally
) -> Generator[tuple[Photo, Features], None, None]:
    """On a CPU, which is one extractor's whatever the number of workers."""
    (xfeat,) = extractors

    def work(file: ImageFile) -> tuple[Photo, Features]:
        photo = read(file)
        return photo, xfeat.detect_photos([photo])[0]

    for file, future in in_order(work, files, workers):
        try:
            yield future.result()
        except ImageError as error:
            tally.add(Report(file.name, Status.FAILED, error=str(error)))


def _detected_in_batches(
    files: list[ImageFile], extractors: list[XFeat], read: Read, workers: int, tally: Tally
) -> Generator[tuple[Photo, Features], None, None]:
    """Decode ahead on threads, deal batches to the extractors; in the batches' order, whichever is done first."""
    free: SimpleQueue[XFeat] = SimpleQueue()
    for xfeat in extractors:
        free.put(xfeat)

    def work(photos: list[Photo]) -> list[Features | ImageError]:
        xfeat = free.get()
        try:
            return _detect(photos, xfeat)
        finally:
            free.put(xfeat)

    photos = _photos(files, read, workers, tally)
    batches = _batches(photos, min(xfeat.batch_size for xfeat in extractors))
    with closing(in_order(work, batches, len(extractors))) as done, closing(photos):
        for batch, future in done:
            for photo, found in zip(batch, future.result(), strict=True):
                if isinstance(found, ImageError):
                    tally.add(Report(photo.name, Status.FAILED, error=str(found)))
                else:
                    yield photo, found


def _batches(photos: Iterable[Photo], size: int) -> Iterator[list[Photo]]:
    """Yield photographs of one gray size, at most `size` together. Few wait for others of theirs: memory stays flat."""
    waiting: dict[tuple[int, ...], list[Photo]] = {}
    for photo in photos:
        group = waiting.setdefault(photo.gray.shape, [])
        group.append(photo)
        if len(group) >= size:
            yield waiting.pop(photo.gray.shape)
        elif sum(map(len, waiting.values())) > 4 * size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()


def _detect(photos: list[Photo], xfeat: XFeat) -> list[Features | ImageError]:
    """Detect on a batch; if it fails as a whole, image by image, so that one image costs no other."""
    try:
        return [*xfeat.detect_photos(photos)]
    except ImageError as error:
        if len(photos) == 1:
            return [error]
        return [found for photo in photos for found in _detect([photo], xfeat)]


def _photos(files: list[ImageFile], read: Read, workers: int, tally: Tally) -> Generator[Photo, None, None]:
    """Yield decoded photographs in the files' order, at most a few ahead."""
    for file, future in in_order(read, files, workers):
        try:
            yield future.result()
        except ImageError as error:
            tally.add(Report(file.name, Status.FAILED, error=str(error)))


class _Turner:
    """Turns the photographs of a store so that those that show the same match, and extracts these again."""

    def __init__(self, store: Store, files: list[ImageFile], xfeat: XFeat, read: Read, workers: int) -> None:
        self._store = store
        self._files = {file.name: file for file in files if file.name in store}
        self._xfeat = xfeat
        self._quick = xfeat.with_options(grids=1)
        self._read = read
        self._workers = workers if xfeat.runtime.device.type == "cpu" else 1

    def turn(self, settled: set[str]) -> int:
        """Return how many photographs were turned. settled: names of those that should rather stay as they are."""
        if len(self._files) < 2:
            return 0
        config = self._xfeat.config
        min_cossim = self._xfeat.runtime.info.min_cossim if config.mode is Mode.SPARSE else -1.0
        thorough = config.rotations is Rotations.ALL
        with FeaturesReader(partial_path(self._store.path)) as reader:
            finder = TurnFinder(reader, self._look, min_cossim, thorough=thorough, workers=self._workers)
            found = finder.find(settled | self._store.names() - self._files.keys())
        todo = [(self._files[name], quarters) for name, quarters in found.items() if name in self._files]
        count = 0
        for _, future in in_order(lambda item: self._extract(*item), todo, self._workers):
            with suppress(ImageError):  # it was read a moment ago, and stays as it was then
                _write(self._store, *future.result())
                count += 1
        return count

    def _look(self, name: str) -> Iterator[Features]:
        """Yield the features of one grid, which are enough to tell."""
        if name not in self._files:
            return
        with suppress(ImageError):  # it was read a moment ago
            photo = self._read(self._files[name])
            for quarters in (1, 2, 3):
                yield self._quick.detect_photos([turned_to(photo, self._turned(name, quarters))])[0]

    def _turned(self, name: str, quarters: int) -> int:
        return turned(self._store.attributes(name)["orientation"], quarters)

    def _extract(self, file: ImageFile, quarters: int) -> tuple[Photo, Features]:
        photo = turned_to(self._read(file), self._turned(file.name, quarters))
        return photo, self._xfeat.detect_photos([photo])[0]


def _write(store: Store, photo: Photo, features: Features) -> None:
    half = torch.from_numpy(features.descriptors).half().numpy()  # ten times as fast as in numpy, and the same
    store.put(
        photo.name,
        features_entry(replace(features, descriptors=half)),
        {
            "image_bytes": photo.file_bytes,
            "image_mtime_ns": photo.file_mtime_ns,
            "image_digest": photo.digest,
            "mask_digest": photo.mask_digest,
            "orientation": photo.orientation,
        },
        {"keypoints": {"uncertainty": _uncertainty(photo)}},
    )


def _uncertainty(photo: Photo) -> float:
    """Return one pixel of the image that the network saw, in stored-image pixels."""
    return upright_size(photo.shown, photo.orientation)[0] / photo.gray.shape[1]


def _report(photo: Photo, features: Features) -> Report:
    return Report(photo.name, Status.OK, len(features), details={"width": photo.size[0], "height": photo.size[1]})
