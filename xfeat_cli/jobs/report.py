"""A folder of results → report.json and a page that shows them."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import to_colmap
from xfeat_cli.errors import ImageError, SfmError, StoreError, UsageError
from xfeat_cli.images import ImageFile, find_images
from xfeat_cli.jobs.progress import Listener, Report, Status
from xfeat_cli.jobs.report_sources import Sources, find_images_folder, find_sources, read_json
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.pairing.positions import exif_positions, to_metres
from xfeat_cli.report.config import ReportConfig
from xfeat_cli.report.content import FORMAT, Content, build_content
from xfeat_cli.report.inputs import Inputs, Look, Pairs, PhotoFacts
from xfeat_cli.report.page import PageFolder, PictureFiles, level_turn
from xfeat_cli.report.residuals import COLUMNS, ROWS, density
from xfeat_cli.sfm.engine import version
from xfeat_cli.sfm.model import SparseModel, read_sparse_model, shared_points
from xfeat_cli.sfm.verified import PairTable, VerifiedPairs, open_verified
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import FloatArray, PointMatches
from xfeat_cli.version import __version__
from xfeat_cli.view.drawing import as_jpeg, as_png
from xfeat_cli.view.matches import JoinedPoints, judged
from xfeat_cli.view.model import Scene, model_picture
from xfeat_cli.view.photograph import Picture, read_photograph

Result = TypeVar("Result")

_CACHED_KEYPOINTS = 256
_JPEG_QUALITY = 82


@dataclass
class ReportSummary:
    """page: the file to open. data: the content of report.json. problems: one line for each thing left out."""

    page: str
    data: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def figures(self) -> dict[str, float | None]:
        """Return the report's figures by name."""
        figures: dict[str, float | None] = self.data["figures"]
        return figures


def report(
    folder: str | Path,
    output: str | Path | None = None,
    config: ReportConfig | None = None,
    *,
    images: str | Path | None = None,
    run: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> ReportSummary:
    """Write a report of a folder: one of `xfeat sfm`, a COLMAP model or workspace, or outputs of hloc.

    output: the folder to write, by default `report` in the given one. It appears whole or not at all and replaces an
    earlier report only. images: the photographs; by default where the run or an images folder nearby has them. run:
    `options` and `stages` (name, seconds, result) of a run that has just ended; by default those of the last report.
    Raises UsageError, SfmError, StoreError.
    """
    started = time.monotonic()
    folder = Path(folder)
    target = Path(output) if output is not None else folder / "report"
    _check_target(target)
    previous = read_json(target / "report.json")
    sources = find_sources(folder)
    unfinished = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        with ExitStack() as opened:
            gathered = _Gathering(sources, opened, Path(images) if images is not None else None, previous)
            inputs = gathered.inputs(run if run is not None else previous.get("run", {}))
            page = PageFolder(unfinished)
            settings = config or ReportConfig()
            files = _pictures(inputs, gathered.images, page.folder, target, settings, listener)
            content = build_content(inputs)
            _draw(page, content, inputs, gathered, settings)
            page.finish(content, inputs, files, settings.listed_pairs)
        _replace(unfinished, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ReportSummary(str(target / "index.html"), content.data, inputs.problems, time.monotonic() - started)


class _Gathering:
    """Reads what a report is made of; files stay open as long as `opened` does."""

    def __init__(self, sources: Sources, opened: ExitStack, images: Path | None, previous: dict[str, Any]) -> None:
        self._sources = sources
        self.problems: list[str] = []
        self.models = self._read_models()
        self.keypoints = self._opened(opened, KeypointsReader, sources.features)
        self._matches = self._opened(opened, MatchesReader, sources.matches)
        self._database: VerifiedPairs | None = None
        if sources.database is not None:
            self._database = self._tried(lambda: opened.enter_context(open_verified(sources.database)))  # type: ignore[arg-type]
        table = self._tried(self._database.table) if self._database is not None else None
        self._names = self._stored_names(table)
        if images is not None and not images.is_dir():
            raise UsageError(f"--images {images} is not a folder of photographs")
        self.images = images or find_images_folder(sources, self._names, previous)
        self._files = self._image_files()
        self.names = sorted({*self._names, *self._files})
        self._rows = {name: row for row, name in enumerate(self.names)}
        self._table = table
        self.cached_keypoints = lru_cache(_CACHED_KEYPOINTS)(self._read_keypoints)

    def inputs(self, run: Mapping[str, Any]) -> Inputs:
        """Return everything but how the photographs look."""
        positions = self._positions()
        photos, places = [], np.zeros((ROWS, COLUMNS))
        for name in self.names:
            photo = PhotoFacts(name, position=positions.get(name))
            if self.keypoints is not None:
                places += self._add_keypoints(photo)
            photos.append(photo)
        return Inputs(
            folder=str(self._sources.folder.resolve()),
            photos=photos,
            pairs=self._pairs(),
            models=self.models,
            keypoint_density=places if self.keypoints is not None else None,
            run=self._run(run),
            problems=self.problems,
        )

    def joined(self, name0: str, name1: str) -> JoinedPoints | None:
        """Return the matches of a pair as points, inliers told from the others; None where they cannot be read."""
        if self._database is not None:
            points = self._database.points(name0, name1)
            return None if points is None else JoinedPoints(points.points0, points.points1, points.inlier)
        if self._matches is not None and self.keypoints is not None:
            try:
                found = self._matches.load(name0, name1)
            except (KeyError, StoreError):
                return None
            if isinstance(found, PointMatches):
                return judged(found.points0, found.points1)
            ends = [self.cached_keypoints(name) for name in (name0, name1)]
            if len(found) and (found.indices.max(0) >= [len(end) for end in ends]).any():
                return None
            return judged(ends[0][found.indices[:, 0]], ends[1][found.indices[:, 1]])
        return self._seen_by_both(name0, name1)

    def _seen_by_both(self, name0: str, name1: str) -> JoinedPoints | None:
        """Return the points of a model that two images see."""
        for model in self.models:
            images = {image.name: image for image in model.images}
            if name0 in images and name1 in images:
                one, other = images[name0], images[name1]
                _, rows0, rows1 = np.intersect1d(one.tracks, other.tracks, return_indices=True)
                return JoinedPoints(one.points[rows0], other.points[rows1], np.ones(len(rows0), bool))
        return None

    def _read_models(self) -> list[SparseModel]:
        read = [self._tried(partial(read_sparse_model, path)) for path in self._sources.models]
        models = [model for model in read if model is not None]
        return sorted(models, key=lambda model: (-len(model.images), -len(model.points)))

    def _opened(self, opened: ExitStack, reader: Callable[[Path], Any], path: Path | None) -> Any:
        return None if path is None else self._tried(lambda: opened.enter_context(reader(path)))

    def _tried(self, make: Callable[[], Result]) -> Result | None:
        """Return what is made, or None with the error kept: one damaged file costs its part of the report only."""
        try:
            return make()
        except (SfmError, StoreError) as error:
            self.problems.append(str(error))
            return None

    def _stored_names(self, table: PairTable | None) -> list[str]:
        names = set(table.names) if table is not None else set()
        if self.keypoints is not None:
            names.update(self.keypoints.names())
        for model in self.models:
            names.update(image.name for image in model.images)
            names.update(model.unregistered)
        return sorted(names)

    def _image_files(self) -> dict[str, Path]:
        """Return, by name, the photographs; all of the folder where features say what belongs to it, else the
        known ones.
        """
        if self.images is None:
            return {}
        if self.keypoints is not None or not self._names:
            try:
                return {file.name: file.path for file in find_images(self.images) if not self._is_ours(file.path)}
            except UsageError:
                return {}
        return {name: path for name in self._names if (path := self.images / name).is_file()}

    def _is_ours(self, path: Path) -> bool:
        """Whether a picture lies in the folder that is reported on, which may lie in the folder of photographs."""
        folder = self._sources.folder.resolve()
        return self.images is not None and self.images.resolve() in folder.parents and folder in path.resolve().parents

    def _positions(self) -> dict[str, npt.NDArray[np.float64]]:
        positions = exif_positions(ImageFile(name, path) for name, path in self._files.items()).geographic
        return {name: to_metres(at.latitude, at.longitude, at.altitude or 0.0) for name, at in positions.items()}

    def _add_keypoints(self, photo: PhotoFacts) -> npt.NDArray[np.float64]:
        """Fill in a photograph's keypoints; returns where they are."""
        nothing = np.zeros((ROWS, COLUMNS))
        if photo.name not in self.keypoints:
            photo.problem = "it is not in the features file"
            return nothing
        try:
            features = self.keypoints.load(photo.name)
        except StoreError as error:
            photo.problem = str(error)
            return nothing
        photo.keypoints, photo.size = len(features), features.image_size
        if min(photo.size) <= 0:
            return nothing
        places = density((to_colmap(features.keypoints) / photo.size).astype(np.float32))
        photo.coverage = float((places > 0).mean())
        return places

    def _pairs(self) -> Pairs:
        if self._table is not None and len(self._table.images):
            rows = np.array([self._rows[name] for name in self._table.names], np.int64)
            return _ordered(rows[self._table.images], self._table.matches, self._table.inliers, "COLMAP's database")
        if self._matches is not None and self.keypoints is not None:
            return self._judged_pairs()
        if self.models:
            found = [shared_points(model) for model in self.models]
            rows_of = [np.array([self._rows[image.name] for image in model.images], np.int64) for model in self.models]
            images = np.concatenate([rows[pairs] for rows, (pairs, _) in zip(rows_of, found, strict=True)])
            counts = np.concatenate([counts for _, counts in found])
            return _ordered(images, counts, counts, "the 3-D points that both see")
        return Pairs.none()

    def _judged_pairs(self) -> Pairs:
        names = resolve(self._matches.names(), self._names).pairs.values()
        images, matches, inliers = [], [], []
        for name0, name1 in names:
            joined = self.joined(name0, name1)
            if joined is None:
                self.problems.append(f"{self._sources.matches}: the matches of {name0} {name1} cannot be read")
                continue
            images.append((self._rows[name0], self._rows[name1]))
            matches.append(len(joined.inlier))
            inliers.append(int(joined.inlier.sum()))
        return _ordered(
            np.array(images, np.int64).reshape(-1, 2),
            np.array(matches, np.int64),
            np.array(inliers, np.int64),
            "a fundamental matrix (MAGSAC, 3 px)",
        )

    def _read_keypoints(self, name: str) -> FloatArray:
        try:
            if self.keypoints is not None:
                return np.asarray(self.keypoints.load(name).keypoints)
            if self._database is not None:
                return self._database.keypoints(name)
        except (KeyError, StoreError):
            pass
        return np.zeros((0, 2), np.float32)

    def _run(self, known: Mapping[str, Any]) -> dict[str, Any]:
        made_with = {key.removeprefix("xfeat_"): value for key, value in self._sources.made_with.items()}
        found = {
            key: str(path)
            for key, path in (("features", self._sources.features), ("matches", self._sources.matches))
            if path is not None
        }
        run: dict[str, Any] = {
            "options": dict(known.get("options", {})),
            "features": made_with,
            "stages": list(known.get("stages", []) or _recorded(self._sources.stages)),
            "versions": {"xfeat": __version__},
            "images": None if self.images is None else str(self.images.resolve()),
            "files": {**found, **({"database": str(self._sources.database)} if self._sources.database else {})},
            "reconstruction_tried": self._database is not None,
        }
        pycolmap_version = self._tried(version)
        if pycolmap_version is not None:
            run["versions"]["pycolmap"] = pycolmap_version
        return run


def _recorded(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return stages as a run's own record has them."""
    stages = record.get("stages", {})
    return [
        {"name": name, "seconds": stage.get("seconds"), "result": stage.get("result", {})}
        for name, stage in (stages.items() if isinstance(stages, dict) else ())
        if isinstance(stage, dict)
    ]


def _ordered(
    images: npt.NDArray[np.int64], matches: npt.NDArray[np.int64], inliers: npt.NDArray[np.int64], verified_by: str
) -> Pairs:
    """Return the pairs, the lower row first, sorted by rows."""
    images = np.sort(images, axis=1)
    order = np.lexsort((images[:, 1], images[:, 0]))
    return Pairs(images[order], matches[order], inliers[order], verified_by)


def _pictures(
    inputs: Inputs,
    images: Path | None,
    page: Path,
    earlier: Path,
    config: ReportConfig,
    listener: Listener | None,
) -> list[PictureFiles | None]:
    """Return thumbnails and previews of all photographs, those of an earlier report where nothing changed; fills in
    looks.
    """
    if listener:
        listener.start(len(inputs.photos))
    if images is None:
        return [None] * len(inputs.photos)
    preview = config.preview_px(len(inputs.photos))
    made: list[PictureFiles | None] = []

    def make(photo: PhotoFacts) -> PictureFiles | ImageError | None:
        path = images / photo.name
        if not path.is_file():
            return None
        try:
            files, look = _picture_files(
                path, photo.name, page / "photos", earlier / "photos", config.thumbnail, preview
            )
        except ImageError as error:
            return error
        photo.look = look
        return files

    with ThreadPoolExecutor(usable_cores()) as pool:
        for photo, result in zip(inputs.photos, pool.map(make, inputs.photos), strict=True):
            failed = isinstance(result, ImageError)
            if failed:
                photo.problem = str(result)
            elif photo.problem and photo.keypoints is None and result is not None:
                photo.problem = "it has no features: it was added later, or left out"
            made.append(None if isinstance(result, ImageError) else result)
            if listener:
                status = Status.FAILED if failed else Status.OK
                listener.update(Report(photo.name, status, error=str(result) if failed else ""))
    return made


def _picture_files(
    path: Path, name: str, folder: Path, earlier: Path, thumbnail: int, preview: int
) -> tuple[PictureFiles, Look]:
    """Write a photograph's pictures, or take those of an earlier report of the same file. Raises ImageError."""
    try:
        stat = path.stat()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None
    about = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{thumbnail}\0{preview}"
    key = hashlib.blake2b(about.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
    files = PictureFiles(f"{key}-s.jpg", f"{key}.jpg" if preview > thumbnail else f"{key}-s.jpg")
    if all((earlier / file).is_file() for file in (files.thumbnail, files.preview)):
        small = read_photograph(earlier / files.thumbnail, name, thumbnail).pixels
        for file in {files.thumbnail, files.preview}:
            shutil.copyfile(earlier / file, folder / file)
        return files, _look(small)
    photo = read_photograph(path, name, max(preview, thumbnail))
    small = photo.reduced(thumbnail).pixels
    (folder / files.thumbnail).write_bytes(as_jpeg(small, _JPEG_QUALITY))
    if files.preview != files.thumbnail:
        (folder / files.preview).write_bytes(as_jpeg(photo.pixels, _JPEG_QUALITY))
    return files, _look(small)


def _look(pixels: Picture) -> Look:
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return Look(float(gray.mean()), float(gray.std()), float(cv2.Laplacian(gray, cv2.CV_32F).std()))


def _draw(page: PageFolder, content: Content, inputs: Inputs, gathered: _Gathering, config: ReportConfig) -> None:
    rows = {photo.name: row for row, photo in enumerate(inputs.photos)}
    gps = content.data["gps"]
    for number, model in enumerate(inputs.models):
        turn = level_turn(model, gps["rotation"] if gps and number == 0 else None)
        page.put_model(number, model, rows, turn, config.points)
        if number == 0:
            _save_stills(page.folder, model, turn)
    sizes = [(image["width"] or 1, image["height"] or 1) for image in content.data["images"]]
    observed = {image.name: image.points for model in reversed(inputs.models) for image in model.images}
    for row, photo in enumerate(inputs.photos):
        seen = observed.get(photo.name, np.zeros((0, 2), np.float32))
        others = _without(gathered.cached_keypoints(photo.name), seen)
        if len(seen) or len(others):
            share = min(1.0, config.drawn_keypoints / (len(seen) + len(others)))
            page.put_keypoints(row, sizes[row], _some(seen, share), _some(others, share))
    drawn = []
    for pair in sorted(_worth_drawing(content, inputs, config.drawn_pairs)):
        row0, row1 = inputs.pairs.images[pair].tolist()
        joined = gathered.joined(inputs.photos[row0].name, inputs.photos[row1].name)
        if joined is None:
            continue
        kept = np.concatenate(
            [_spread(np.flatnonzero(joined.inlier == inlier), config.drawn_matches) for inlier in (True, False)]
        )
        points = (joined.points0[kept], joined.points1[kept])
        page.put_matches(pair, points, (sizes[row0], sizes[row1]), joined.inlier[kept])
        drawn.append(pair)
    page.mark_drawn(drawn)


def _worth_drawing(content: Content, inputs: Inputs, most: int) -> set[int]:
    """Return rows of at most `most` pairs: what holds the model together weakly first, then each image's best
    in turn.
    """
    inliers = inputs.pairs.inliers
    if len(inliers) <= most:
        return set(range(len(inliers)))
    pairs = content.data["pairs"]
    chosen = dict.fromkeys([*(link["pair"] for link in pairs["weak_links"]), *pairs["bridges"]])
    for row in islice(_best_in_turn(inputs), None):
        if len(chosen) >= most:
            break
        chosen.setdefault(row)
    return set(islice(chosen, most))


def _best_in_turn(inputs: Inputs) -> Iterator[int]:
    """Yield each image's best pair, then each image's second best, and so on."""
    images, inliers = inputs.pairs.images, inputs.pairs.inliers
    ends = images.T.reshape(-1)
    pairs = np.tile(np.arange(len(images)), 2)
    order = np.lexsort((-inliers[pairs], ends))
    starts = np.searchsorted(ends[order], np.arange(len(inputs.photos) + 1))
    rank = np.arange(len(order)) - starts[ends[order]]
    yield from pairs[order[np.argsort(rank, kind="stable")]].tolist()


def _without(keypoints: FloatArray, seen: FloatArray) -> FloatArray:
    """Return the keypoints that are none of the seen ones, to a tenth of a pixel."""
    if not len(seen) or not len(keypoints):
        return keypoints
    known = {tuple(place) for place in np.rint(seen * 10).astype(int).tolist()}
    keep = [tuple(place) not in known for place in np.rint(keypoints * 10).astype(int).tolist()]
    return keypoints[np.array(keep)]


def _some(points: FloatArray, share: float) -> FloatArray:
    return points if share >= 1 else points[_spread(np.arange(len(points)), int(len(points) * share))]


def _spread(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _save_stills(folder: Path, model: SparseModel, turn: npt.NDArray[np.float64]) -> None:
    scene = Scene(
        model.points,
        model.colours,
        np.array([image.centre for image in model.images]).reshape(-1, 3),
        np.array([image.rotation for image in model.images]).reshape(-1, 3, 3),
    )
    about = f"{len(model.images):,} cameras, {len(model.points):,} points"
    for name, dark in (("model.png", False), ("model-dark.png", True)):
        (folder / name).write_bytes(as_png(model_picture(scene, about, side=560, dark=dark, turn=turn)))


def _check_target(target: Path) -> None:
    """Raise UsageError when a folder is there that is no report."""
    if not target.exists():
        return
    if target.is_dir() and (not any(target.iterdir()) or read_json(target / "report.json").get("format") == FORMAT):
        return
    raise UsageError(f"{target} exists and is no report, so it is left alone; give another folder with -o")


def _replace(unfinished: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(unfinished, target)
    shutil.rmtree(old, ignore_errors=True)
