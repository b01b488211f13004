"""The content of a report → a folder with a page that opens from the file system, offline.

    index.html     the verdict, readable without scripts
    report.json    every figure
    assets/        style.css, the page's scripts, vendor.js (three.js and d3), their licences
    data/*.js      what the page loads on demand. Scripts, since a page may not fetch files of its own folder
    photos/        thumbnails and previews

Every script carries the nonce of the page's Content-Security-Policy, made anew for each page, and nothing else runs.
Names reach the page as JSON, or through a template that escapes them.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from xfeat_cli.coordinates import to_colmap
from xfeat_cli.report.content import Content
from xfeat_cli.report.inputs import Inputs
from xfeat_cli.sfm.model import ModelCamera, SparseModel
from xfeat_cli.types import FloatArray
from xfeat_cli.view.model import Scene, bounds, levelled, turned

KEYPOINTS_IN_A_FILE = 16
MATCHES_IN_A_FILE = 32

_SCRIPTS = ("core.js", "photographs.js", "pairs.js", "model.js", "quality.js", "map.js", "run.js")
_ASSETS = ("style.css", "LICENSES.txt", "vendor.js", *_SCRIPTS)
_LISTED = 12
"""Missing photographs that the page names without scripts."""


@dataclass(frozen=True)
class PictureFiles:
    """File names, below photos/, of a photograph's thumbnail and preview."""

    thumbnail: str
    preview: str


class PageFolder:
    """A folder under construction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._matches: dict[int, dict[str, Any]] = {}
        self._keypoints: dict[int, dict[str, Any]] = {}
        for part in ("assets", "data", "photos"):
            (folder / part).mkdir(parents=True, exist_ok=True)

    def put_keypoints(self, row: int, size: tuple[int, int], seen: FloatArray, others: FloatArray) -> None:
        """Put keypoints (N, 2) of a photograph, stored-image pixels: those that are 3-D points, and the others."""
        entry = {"seen": _places(seen, size), "others": _places(others, size)}
        self._keypoints.setdefault(row // KEYPOINTS_IN_A_FILE, {})[str(row)] = entry
        self._flush(self._keypoints, "keypoints", keep=1)

    def put_matches(
        self, pair: int, points: Sequence[FloatArray], sizes: Sequence[tuple[int, int]], inlier: npt.NDArray[np.bool_]
    ) -> None:
        """Put matches of a pair by its row: points (M, 2) of both images, stored-image pixels; inlier: (M,)."""
        entry = {
            kind: [_places(ends[keep], size) for ends, size in zip(points, sizes, strict=True)]
            for kind, keep in (("verified", inlier), ("rejected", ~inlier))
        }
        self._matches.setdefault(pair // MATCHES_IN_A_FILE, {})[str(pair)] = entry
        self._flush(self._matches, "matches", keep=1)

    def put_model(self, number: int, model: SparseModel, rows: Mapping[str, int], turn: npt.NDArray, most: int) -> None:
        """Put points, at most `most`, those of long tracks first, and cameras of a model, turned by `turn` (3, 3)."""
        chosen = np.arange(len(model.points))
        if len(chosen) > most:
            rng = np.random.default_rng(0)
            chosen = np.sort(np.lexsort((rng.random(len(chosen)), -model.track_lengths))[:most])
        centres = np.array([image.centre for image in model.images]).reshape(-1, 3)
        rotations = np.array([image.rotation for image in model.images]).reshape(-1, 3, 3)
        scene = turned(Scene(model.points[chosen], model.colours[chosen], centres, rotations), turn)
        middle, reach = bounds(scene)
        self._script(
            f"model-{number}",
            {
                "points": _packed((scene.points - middle) / reach, np.float32),
                "colours": _packed(scene.colours, np.uint8),
                "all_points": len(model.points),
                "images": [rows[image.name] for image in model.images],
                "centres": _packed((scene.centres - middle) / reach, np.float32),
                "rotations": _packed(scene.rotations, np.float32),
                "cones": [_cone(model.cameras[image.camera]) for image in model.images],
            },
        )

    def finish(self, content: Content, inputs: Inputs, files: Sequence[PictureFiles | None], listed_pairs: int) -> None:
        """Write what is left: figures, list of images and pairs, the page itself."""
        for pending, name in ((self._keypoints, "keypoints"), (self._matches, "matches")):
            self._flush(pending, name, keep=0)
        data = content.data
        shown = {key: value for key, value in data.items() if key not in ("images", "pairs")}
        self._script("summary", {**shown, "pairs": _without_columns(data["pairs"])})
        self._script("images", _columns(data["images"], files))
        self._script("pairs", self._pair_columns(data["pairs"], listed_pairs))
        (self.folder / "report.json").write_text(json.dumps(data, indent=1, allow_nan=False), encoding="utf-8")
        self._write_page(data)

    def mark_drawn(self, pairs: Iterable[int]) -> None:
        """Note which pairs, by row, have their matches on the page."""
        self._drawn = sorted(pairs)

    _drawn: Sequence[int] = ()

    def _pair_columns(self, pairs: dict[str, Any], most: int) -> dict[str, Any]:
        inliers = np.array(pairs["inliers"], np.int64)
        rows = np.arange(len(inliers))
        if len(rows) > most:
            rows = np.sort(np.argsort(-inliers, kind="stable")[:most])
        return {
            "row": rows.tolist() if len(rows) < len(inliers) else None,
            **{key: [pairs[key][row] for row in rows] for key in ("image0", "image1", "matches", "inliers")},
            "left_out": int(len(inliers) - len(rows)),
            "drawn": list(self._drawn),
            "in_a_file": MATCHES_IN_A_FILE,
        }

    def _flush(self, pending: dict[int, dict[str, Any]], name: str, keep: int) -> None:
        """Write all files but the last `keep`; entries come in the order of their numbers."""
        for number in sorted(pending)[: max(len(pending) - keep, 0)]:
            self._script(f"{name}-{number}", pending.pop(number))

    def _script(self, name: str, value: Any) -> None:
        text = f"xfeat.put({json.dumps(name)}, {json.dumps(value, separators=(',', ':'), allow_nan=False)});\n"
        (self.folder / "data" / f"{name}.js").write_text(text, encoding="ascii")

    def _write_page(self, data: dict[str, Any]) -> None:
        static = resources.files("xfeat_cli.report") / "static"
        for name in _ASSETS:
            (self.folder / "assets" / name).write_bytes((static / name).read_bytes())
        template = (resources.files("xfeat_cli.report") / "templates" / "index.html").read_text(encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
        missing = [image for image in data["images"] if image["reason"] is not None]
        page = environment.from_string(template).render(
            report=data,
            verdict=data["verdict"],
            missing=missing[:_LISTED],
            more_missing=max(len(missing) - _LISTED, 0),
            nonce=secrets.token_urlsafe(18),
            scripts=_SCRIPTS,
            title=Path(data["folder"]).name or data["folder"],
        )
        (self.folder / "index.html").write_text(page, encoding="utf-8", errors="backslashreplace")


def level_turn(model: SparseModel, gps_rotation: Sequence[Sequence[float]] | None) -> npt.NDArray[np.float64]:
    """Return the rotation (3, 3) that brings a model to x right, y down, z ahead; by GPS where the model is aligned to
    it.
    """
    if gps_rotation is not None:
        east_north_up = np.array(gps_rotation)
        return np.stack([east_north_up[0], -east_north_up[2], east_north_up[1]])
    rotations = np.array([image.rotation for image in model.images]).reshape(-1, 3, 3)
    centres = np.array([image.centre for image in model.images]).reshape(-1, 3)
    return levelled(Scene(model.points[:0], model.colours[:0], centres, rotations))[1]


def _cone(camera: ModelCamera) -> list[float]:
    """Return half the width and half the height of what a camera sees one unit ahead."""
    focal = camera.focal_px if not camera.spherical else max(camera.size)
    return [round(side / (2 * focal), 4) for side in camera.size]


def _columns(images: list[dict[str, Any]], files: Sequence[PictureFiles | None]) -> dict[str, Any]:
    keys = (
        *("name", "state", "model", "width", "height", "keypoints", "coverage", "pairs", "verified_pairs"),
        *("verified_matches", "component", "observations", "reprojection_px", "camera", "gps_deviation_m"),
    )
    columns: dict[str, Any] = {key: [_short(image[key]) for image in images] for key in keys}
    columns["reason"] = [None if image["reason"] is None else image["reason"]["text"] for image in images]
    columns["thumbnail"] = [None if file is None else file.thumbnail for file in files]
    columns["preview"] = [None if file is None else file.preview for file in files]
    columns["in_a_file"] = KEYPOINTS_IN_A_FILE
    return columns


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _without_columns(pairs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pairs.items() if key not in ("image0", "image1", "matches", "inliers")}


def _places(points: FloatArray, size: tuple[int, int]) -> str:
    """Return points (N, 2), stored-image pixels, as 65,535ths of the image's sides."""
    shares = to_colmap(np.asarray(points, np.float64).reshape(-1, 2)) / np.maximum(size, 1)
    return _packed(np.clip(np.rint(shares * 65535), 0, 65535), np.uint16)


def _packed(values: npt.NDArray, dtype: npt.DTypeLike) -> str:
    little = np.dtype(dtype).newbyteorder("<")
    return b64encode(np.ascontiguousarray(values, little).tobytes()).decode("ascii")
