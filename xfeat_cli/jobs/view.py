"""Pictures of whatever a file or folder holds: features, matches, a list of pairs, a COLMAP model, a photograph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xfeat_cli.errors import ImageError, SfmError, StoreError, UsageError
from xfeat_cli.files import FileKind, file_kind, whole_file
from xfeat_cli.jobs.contents import contents
from xfeat_cli.pairing.lists import read_pairs
from xfeat_cli.photo_names import SUFFIXES
from xfeat_cli.sfm.model import is_model, read_sparse_model
from xfeat_cli.sfm.verified import open_verified
from xfeat_cli.store.layout import FEATURES, KEYPOINTS, MATCHES, SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, MatchesReader
from xfeat_cli.types import PointMatches
from xfeat_cli.view.config import ViewConfig
from xfeat_cli.view.drawing import as_png
from xfeat_cli.view.keypoints import keypoints_picture, layer_picture
from xfeat_cli.view.matches import JoinedPoints, judged, matches_picture
from xfeat_cli.view.matrix import matrix_picture
from xfeat_cli.view.model import Scene, model_picture
from xfeat_cli.view.photograph import Photograph, Picture, blank_photograph, read_photograph
from xfeat_cli.view.sheet import CELL_WIDTH, contact_sheet

if TYPE_CHECKING:
    from xfeat_cli.jobs.layers import LayerSource

_IMAGE_KINDS = (FEATURES, SEMI_DENSE_FEATURES, KEYPOINTS)
_HEATMAP = "probability of a keypoint, each peak widened to 5 px"
_PAIR_KINDS = (MATCHES, SEMI_DENSE_MATCHES)


@dataclass
class Viewed:
    """pictures: the files written. problems: one line for each photograph that could not be read."""

    pictures: list[Path]
    problems: list[str]


def view(
    source: Path,
    names: Sequence[str] = (),
    *,
    images: Path | None = None,
    features: Path | None = None,
    database: Path | None = None,
    output: Path | None = None,
    config: ViewConfig | None = None,
) -> Viewed:
    """Write pictures of what `source` holds, PNG files.

    source: a features or matches file of xfeat or hloc, a list of pairs, a COLMAP model or a folder of `xfeat sfm`, or
    a photograph. names: images to show, of a matches file two. images: the folder that names are relative to; without
    it a plain area stands for a photograph. features, database: of a matches file, by default those beside it; without
    a database, inliers are judged by a fundamental matrix. output: a .png, or a folder; by default in this one.
    Raises UsageError and what reading raises.
    """
    viewer = _Viewer(source, images, features, database, config or ViewConfig())
    pictures = viewer.pictures(list(names))
    return Viewed(_write(pictures, source, output), viewer.problems)


class _Viewer:
    def __init__(
        self, source: Path, images: Path | None, features: Path | None, database: Path | None, config: ViewConfig
    ) -> None:
        self._source = source
        self._images = images
        self._features = features
        self._database = database
        self._config = config
        self.problems: list[str] = []

    def pictures(self, names: list[str]) -> Iterator[tuple[str, Picture]]:
        """Return a name for the file and the picture, one after another."""
        source = self._source
        if self._images is not None and not self._images.is_dir():
            raise UsageError(f"--images {self._images} is not a folder of photographs")
        if source.is_dir():
            return self._model(_model_folder(source))
        if not source.is_file():
            raise UsageError(
                f"{source} does not exist: give features, matches, a list of pairs, a model or a photograph"
            )
        kind = file_kind(source)
        if kind is FileKind.HDF5:
            held = contents(source).kind
            if held in _IMAGE_KINDS:
                return self._keypoints(names)
            if held in _PAIR_KINDS:
                return self._matches(names)
            raise UsageError(f"{source} holds {held}; give features, keypoints or matches")
        if source.suffix.lower() in SUFFIXES:
            return self._photograph()
        if kind in (FileKind.TEXT, FileKind.PAIRS):
            return self._pairs()
        raise UsageError(
            f"{source} holds {kind.value}; give features, matches, a list of pairs, a model or a photograph"
        )

    def _photo(self, name: str, size: tuple[int, int], longest: int) -> Photograph:
        """Return the photograph, or what stands for it."""
        if self._images is None:
            return blank_photograph(name, size, longest)
        try:
            return read_photograph(self._images / name, name, longest)
        except ImageError as error:
            self.problems.append(str(error))
            return blank_photograph(name, size, longest)

    def _keypoints(self, names: list[str]) -> Iterator[tuple[str, Picture]]:
        with KeypointsReader(self._source) as reader:
            stored = reader.names()
            _check_known(names, stored, self._source)
            if not names and not self._wants_layers:
                yield from self._sheets(reader, stored)
                return
            layers = self._layer_source(reader.attributes) if self._wants_layers else None
            for name in names or stored[: self._config.sheet]:
                features = reader.load(name)
                photo = self._photo(name, features.image_size, self._config.size)
                yield _flat(name), keypoints_picture(photo, features, reader.uncertainty(name))
                if layers is not None:
                    yield from self._layers(layers, name, photo)

    @property
    def _wants_layers(self) -> bool:
        return self._config.heatmap or self._config.reliability

    def _layer_source(self, made_with: dict) -> LayerSource:
        if self._images is None:
            raise UsageError("--heatmap and --reliability are computed from the photographs; add --images DIR")
        from xfeat_cli.jobs.layers import LayerSource

        return LayerSource(made_with)

    def _layers(self, source: LayerSource, name: str, photo: Photograph) -> Iterator[tuple[str, Picture]]:
        assert self._images is not None
        try:
            layers = source.layers(name, self._images / name)
        except ImageError as error:
            self.problems.append(str(error))
            return
        if self._config.heatmap:
            yield f"{_flat(name)}.heatmap", layer_picture(photo, layers.heatmap, _HEATMAP, 5)
        if self._config.reliability:
            yield f"{_flat(name)}.reliability", layer_picture(photo, layers.reliability, "reliability of descriptors")

    def _sheets(self, reader: KeypointsReader, names: list[str]) -> Iterator[tuple[str, Picture]]:
        count = self._config.sheet
        if not names:
            raise UsageError(f"{self._source} holds no images")
        if len(names) > count and not self._config.every:
            names = [names[row] for row in np.linspace(0, len(names) - 1, count).astype(int)]
        pages = [names[start : start + count] for start in range(0, len(names), count)]
        for number, page in enumerate(pages, 1):
            cells = []
            for name in page:
                features = reader.load(name)
                photo = self._photo(name, features.image_size, 2 * CELL_WIDTH)
                shown = keypoints_picture(photo, features)[: photo.pixels.shape[0]]
                cells.append((shown, name, f"{len(features):,} keypoints"))
            yield "sheet" if len(pages) == 1 else f"sheet-{number:03d}", contact_sheet(cells)

    def _matches(self, names: list[str]) -> Iterator[tuple[str, Picture]]:
        with MatchesReader(self._source) as matches:
            path = self._features or _beside(self._source, _IMAGE_KINDS, matches.kind)
            if path is None:
                raise UsageError(f"{self._source}: which keypoints its matches are of? Add --features FILE.h5")
            with KeypointsReader(path) as features:
                _check_known(names, features.names(), path)
                if len(names) == 2:
                    yield self._pair(matches, features, names[0], names[1], self._config.size)
                    return
                pairs = _counted(matches, features, names)
                if not pairs:
                    raise UsageError(f"{self._source} holds no pair of {' and '.join(names) or 'known images'}")
                if not names and not self._config.most:
                    yield "matrix", _matrix(features.names(), pairs)
                    return
                best = sorted(pairs, key=lambda pair: -pairs[pair])[: self._config.most or self._config.sheet]
                for name0, name1 in best:
                    yield self._pair(matches, features, name0, name1, self._config.size)

    def _pair(
        self, matches: MatchesReader, features: KeypointsReader, name0: str, name1: str, size: int
    ) -> tuple[str, Picture]:
        try:
            found = matches.load(name0, name1)
        except KeyError:
            raise UsageError(f"{self._source} holds no pair {name0} {name1}") from None
        if isinstance(found, PointMatches):
            points0, points1 = found.points0, found.points1
        else:
            keypoints0, keypoints1 = features.load(name0).keypoints, features.load(name1).keypoints
            if len(found) and (found.indices.max(0) >= (len(keypoints0), len(keypoints1))).any():
                raise StoreError(
                    f"{self._source}: {name0} {name1} refers to keypoints that {features.path} does not hold"
                )
            points0, points1 = keypoints0[found.indices[:, 0]], keypoints1[found.indices[:, 1]]
        joined = self._verified(name0, name1, len(points0)) or judged(points0, points1)
        photo0, photo1 = (self._photo(name, features.image_size(name), size // 2) for name in (name0, name1))
        return f"{_flat(name0)}--{_flat(name1)}", matches_picture(photo0, photo1, joined, most=self._config.drawn)

    def _verified(self, name0: str, name1: str, count: int) -> JoinedPoints | None:
        """Return what a database beside the matches says of a pair, if it holds as many matches of it."""
        path = self._database or self._source.parent / "database.db"
        if not path.is_file() and self._database is None:
            return None
        try:
            with open_verified(path) as verified:
                points = verified.points(name0, name1)
        except SfmError:
            if self._database is not None:
                raise
            return None
        if points is None or len(points.inlier) != count:
            return None
        return JoinedPoints(points.points0, points.points1, points.inlier, f"COLMAP, {path.name}")

    def _pairs(self) -> Iterator[tuple[str, Picture]]:
        pairs = read_pairs(self._source)
        names = sorted({name for pair in pairs for name in pair})
        yield "matrix", _matrix(names, dict.fromkeys(pairs, 0))

    def _model(self, folder: Path) -> Iterator[tuple[str, Picture]]:
        model = read_sparse_model(folder)
        scene = Scene(
            model.points,
            model.colours,
            np.array([image.centre for image in model.images]).reshape(-1, 3),
            np.array([image.rotation for image in model.images]).reshape(-1, 3, 3),
        )
        yield "model", model_picture(scene, f"{folder}: {len(model.images):,} cameras, {len(model.points):,} points")

    def _photograph(self) -> Iterator[tuple[str, Picture]]:
        from xfeat_cli.jobs.layers import LayerSource

        source, name = self._source, self._source.name
        network = LayerSource({})
        photo = read_photograph(source, name, self._config.size)
        yield "keypoints", keypoints_picture(photo, network.features(name, source))
        self._images = source.parent
        if self._wants_layers:
            yield from self._layers(network, name, photo)


def _model_folder(folder: Path) -> Path:
    """Return a model, or the largest one of a folder of `xfeat sfm`."""
    for candidate in (folder, folder / "sparse" / "0", folder / "0", folder / "sparse"):
        if is_model(candidate):
            return candidate
    raise UsageError(f"{folder} holds no COLMAP model, nor sparse/0; give a model, or a file of features or matches")


def _beside(matches: Path, kinds: tuple[str, ...], kind_of_matches: str) -> Path | None:
    """Return the file of keypoints beside a matches file; with several, the one whose name sfm and extract give it."""
    usual = ["keypoints.h5", "features.h5", "out.h5"]
    if matches.name != "aggregated.h5" or kind_of_matches == SEMI_DENSE_MATCHES:
        usual.remove("keypoints.h5")
    for name in usual:
        if (matches.parent / name).is_file():
            return matches.parent / name
    others = [path for path in sorted(matches.parent.glob("*.h5")) if path.name != matches.name and _is(path, kinds)]
    return others[0] if len(others) == 1 else None


def _is(path: Path, kinds: tuple[str, ...]) -> bool:
    try:
        return contents(path).kind in kinds
    except StoreError:
        return False


def _counted(matches: MatchesReader, features: KeypointsReader, names: list[str]) -> dict[tuple[str, str], int]:
    """Return matches of each pair, of all or of those with the named images."""
    pairs = resolve(matches.names(), features.names()).pairs.values()
    chosen = [pair for pair in pairs if not names or not set(names).isdisjoint(pair)]
    return {pair: len(matches.load(*pair)) for pair in chosen}


def _matrix(names: list[str], pairs: dict[tuple[str, str], int]) -> Picture:
    rows = {name: row for row, name in enumerate(names)}
    images = np.array([[rows[a], rows[b]] for a, b in pairs], np.int64).reshape(-1, 2)
    counts = np.array([*pairs.values()], np.int64)
    return matrix_picture(names, images, counts if counts.any() else None, "matches")


def _check_known(names: list[str], stored: list[str], path: Path) -> None:
    for name in names:
        if name not in stored:
            near = get_close_matches(name, stored, 1)
            raise UsageError(f"{path} holds no image {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _flat(name: str) -> str:
    """Return a file name for an image name: no separators, nothing odd, not too long."""
    return re.sub(r"[^\w.+-]+", "-", name)[-80:].lstrip(".") or "image"


def _write(pictures: Iterator[tuple[str, Picture]], source: Path, output: Path | None) -> list[Path]:
    name_for: Callable[[str], Path]
    single = output is not None and output.suffix.lower() == ".png" and not output.is_dir()
    if output is None:
        name_for = lambda name: Path(f"{source.resolve().name}.{name}.png")  # noqa: E731
    elif single:
        name_for = lambda name: output  # noqa: E731
    else:
        name_for = lambda name: output / f"{name}.png"  # noqa: E731
    written: list[Path] = []
    for name, picture in pictures:
        if single and written:
            raise UsageError(f"{output} is one file, and there are more pictures; give a folder with -o")
        path = name_for(name)
        try:
            if not single and output is not None:
                output.mkdir(parents=True, exist_ok=True)
            with whole_file(path, FileKind.PNG, [source]) as file:
                file.write(as_png(picture))
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror or error})") from None
        written.append(path)
    return written
