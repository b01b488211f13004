"""The photographs of each pair registered at its matches: several pairs at once, images read about once; resumable."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

from xfeat_cli.config import RefineConfig
from xfeat_cli.errors import ImageError, StoreError
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.ordering import in_squares
from xfeat_cli.jobs.progress import Report, Status, Tally
from xfeat_cli.jobs.writing import Writer
from xfeat_cli.machine.threads import in_order
from xfeat_cli.refinement.pairwise import link
from xfeat_cli.refinement.pyramid import Pyramid, build_pyramid
from xfeat_cli.store.layout import LINKS, links_entry
from xfeat_cli.store.names import pair_name
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Links, Matches, Pair

_CACHE_BYTES = 768 << 20
"""Most memory for the images that later pairs need, besides those that the workers hold."""

_BYTES_PER_PIXEL = 16
"""What a pyramid takes for each pixel of its finest level."""

_MOST_SHARED = 32


def register_pairs(
    pairs: Mapping[str, Pair],
    features: KeypointsReader,
    matches: MatchesReader,
    images: Path,
    output: Path,
    config: RefineConfig,
    tally: Tally,
    *,
    overwrite: bool = False,
) -> None:
    """Write the links of every pair into a file; pairs that fail are reported and have no entry.

    pairs: by the names of their entries in `matches`. images: folder that image names are relative to.
    Raises ProvenanceError when the file was made with other options, features or matches (unless `overwrite`), and
    StoreError.
    """
    with Store.open(output, LINKS, _provenance(features, matches, config), overwrite=overwrite) as store:
        todo = []
        for entry, pair in pairs.items():
            if entry in store and store.attributes(entry) == _digests(features, pair):
                tally.add(Report(" ".join(pair), Status.SKIPPED, details=_names(pair)))
            else:
                todo.append(pair)
        pyramids = _Pyramids(features, images, config.resize)

        def work(pair: Pair) -> Links:
            matched = matches.load(*pair)
            keypoints0, keypoints1 = (features.load(name).keypoints for name in pair)
            assert isinstance(matched, Matches)
            return link(pyramids.get(pair[0]), pyramids.get(pair[1]), keypoints0, keypoints1, matched, config)

        ordered = _in_reading_order(todo, features, config.resize)
        with Writer() as writer, closing(in_order(work, ordered, config.workers or os.cpu_count() or 1)) as done:
            for pair, future in done:
                try:
                    links = future.result()
                except (ImageError, StoreError) as error:
                    tally.add(Report(" ".join(pair), Status.FAILED, error=str(error), details=_names(pair)))
                    continue
                entry, attributes = pair_name(*pair), _digests(features, pair)
                writer.put(lambda e=entry, found=links, a=attributes: store.put(e, links_entry(found), a))  # type: ignore[misc]
                tally.add(Report(" ".join(pair), Status.OK, len(links), details=_names(pair)))
        store.finish()


class _Pyramids:
    """Images as registration sees them, made when first asked for, by whichever thread that is; the latest are kept."""

    def __init__(self, features: KeypointsReader, images: Path, resize: int) -> None:
        self._features = features
        self._images = images
        self._resize = resize
        self._lock = threading.Lock()
        self._made: OrderedDict[str, Future[Pyramid]] = OrderedDict()

    def get(self, name: str) -> Pyramid:
        """Raises ImageError when the image cannot be read or is not the one that the keypoints are of."""
        with self._lock:
            future = self._made.get(name)
            mine = future is None
            if future is None:
                future = self._made[name] = Future()
            self._made.move_to_end(name)
        if mine:
            try:
                future.set_result(self._make(name))
            except BaseException as error:
                future.set_exception(error)
            with self._lock:
                self._let_go()
        return future.result()

    def _let_go(self) -> None:
        sizes = {
            name: future.result().bytes
            for name, future in self._made.items()
            if future.done() and future.exception() is None
        }
        total = sum(sizes.values())
        for name, size in sizes.items():
            if total <= _CACHE_BYTES:
                break
            del self._made[name]
            total -= size

    def _make(self, name: str) -> Pyramid:
        path = self._images / name
        photo = read_photo(ImageFile(name, path), self._resize, upright=False)
        attributes = self._features.entry_attributes(name)
        if attributes.get("image_digest", photo.digest) != photo.digest:
            raise ImageError(f"{path} has changed since its features were made; extract it again")
        size = self._features.image_size(name)
        if size not in ((0, 0), photo.size):
            raise ImageError(
                f"{path} is {photo.size[0]}x{photo.size[1]}, but its features are of a {size[0]}x{size[1]} image; "
                "extract it again"
            )
        return build_pyramid(photo.gray, photo.shown, self._features.uncertainty(name) or 1.0)


def _provenance(
    features: KeypointsReader, matches: MatchesReader, config: RefineConfig
) -> dict[str, str | int | float]:
    return {
        "features": fingerprint.of_options(features),
        "matches": fingerprint.of_options(matches),
        "resize": config.resize,
        "epipolar_tolerance": config.epipolar_tolerance,
        "least_inliers": config.least_inliers,
        "least_inlier_share": config.least_inlier_share,
        "least_correlation": config.least_correlation,
        "longest_shift": config.longest_shift,
    }


def _in_reading_order(pairs: list[Pair], features: KeypointsReader, resize: int) -> list[Pair]:
    """Order pairs in squares of as many images as are kept."""
    names = {name for pair in pairs for name in pair}
    largest = max((_pixels(features.image_size(name), resize) for name in names), default=1)
    side = max(1, min(_MOST_SHARED, _CACHE_BYTES // (largest * _BYTES_PER_PIXEL)) // 2)
    return in_squares(pairs, side)


def _pixels(size: tuple[int, int], resize: int) -> int:
    longest = max(*size, 1)
    scale = min(1, resize / longest) if resize else 1
    return max(1, int(size[0] * scale) * int(size[1] * scale))


def _digests(features: KeypointsReader, pair: Pair) -> dict[str, str]:
    """Return what the images were when their features were made; empty for features of other tools."""
    return {f"digest{i}": str(features.entry_attributes(name).get("image_digest", "")) for i, name in enumerate(pair)}


def _names(pair: Pair) -> dict[str, str]:
    return {"image0": pair[0], "image1": pair[1]}
