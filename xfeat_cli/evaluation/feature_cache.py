"""Features made once: those of a method in one file of a folder, whatever is measured with them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from xfeat_cli.config import Mode
from xfeat_cli.evaluation.methods import Method
from xfeat_cli.images import ImageFile, Photo, read_photo
from xfeat_cli.machine.threads import in_order
from xfeat_cli.store.layout import FEATURES, SEMI_DENSE_FEATURES, features_entry
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features


def cached_features(
    method: Method, images: Iterable[ImageFile], folder: Path, workers: int, done: Callable[[str], object]
) -> Path:
    """Return a features file of all the images; what the folder holds already, of images as they are, is used again.

    The file's name tells what its features were made with. workers: images at once. done: told each image's name.
    Raises ImageError, StoreError; what was made until then is kept.
    """
    path = folder / f"{_file_name(method)}.h5"
    kind = SEMI_DENSE_FEATURES if method.made_with.get("mode") == Mode.SEMI_DENSE.value else FEATURES
    with Store.open(path, kind, method.made_with) as store:
        todo = []
        for image in images:
            if image.name in store and _is_current(image, store.attributes(image.name)):
                done(image.name)
            else:
                todo.append(image)

        def work(image: ImageFile) -> tuple[Photo, Features, float]:
            photo = read_photo(image, method.resize)
            begun = time.perf_counter()
            features = method.detect(photo)
            return photo, features, time.perf_counter() - begun

        for image, future in in_order(work, todo, workers):
            photo, features, seconds = future.result()
            stamp = {"image_bytes": photo.file_bytes, "image_mtime_ns": photo.file_mtime_ns, "seconds": seconds}
            store.put(image.name, features_entry(features), stamp)
            done(image.name)
        store.finish()
    return path


def median_seconds(attributes: Iterable[dict[str, Any]]) -> float:
    """Return the median time that detecting took, over entries' attributes."""
    return median(float(entry["seconds"]) for entry in attributes)


def _file_name(method: Method) -> str:
    digest = hashlib.blake2b(repr(sorted(method.made_with.items())).encode(), digest_size=6).hexdigest()
    made_by = str(method.made_with.get("weights") or method.name)
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', made_by)}-{digest}"


def _is_current(image: ImageFile, attributes: dict[str, Any]) -> bool:
    stat = image.path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (attributes.get("image_bytes"), attributes.get("image_mtime_ns"))
