"""Inputs → the content of report.json: every figure that the page shows. docs/formats.md describes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.report import residuals
from xfeat_cli.report.graph import LEAST_INLIERS, WEAK_INLIERS, Graph, build_graph, grouped
from xfeat_cli.report.inputs import Inputs
from xfeat_cli.report.place import aligned, local_frame
from xfeat_cli.report.reasons import Reasons
from xfeat_cli.report.residuals import Observations
from xfeat_cli.report.verdict import judge
from xfeat_cli.sfm.model import ModelCamera, SparseModel
from xfeat_cli.version import __version__

FORMAT = "xfeat report"
VERSION = 1

FIGURES = {
    "images": "photographs known, with those that could not be read",
    "registered_images": "photographs in the largest model",
    "registered": "their share of the photographs",
    "unreadable": "photographs that could not be read",
    "models": "separate models",
    "components": "groups of two photographs or more that verified pairs join",
    "points": "3-D points of the largest model",
    "observations": "observations of these points",
    "observations_per_image": "observations in a registered photograph, mean",
    "track_length": "photographs that see a point, mean",
    "reprojection": "reprojection error, px, mean over the points of each point's mean",
    "reprojection_median": "reprojection error of an observation, px, median",
    "reprojection_relative": "`reprojection` as a share of the longest side of the largest photograph",
    "residual_pattern": "systematic part of the residuals over the image, px",
    "keypoints": "keypoints of a photograph, mean",
    "coverage": "share of a 16 x 12 grid that a photograph's keypoints touch, mean",
    "pairs": "pairs with matches",
    "verified_pairs": "pairs with 15 verified matches or more",
    "verified": "their share of the pairs",
    "inlier_ratio": "verified matches as a share of all matches",
    "bridges": "pairs without which a component falls apart",
    "weak_links": "places where two parts are joined by fewer than 50 verified matches",
    "cameras": "cameras of the largest model",
    "focal_spread": "standard deviation of the cameras' focal lengths, as a share of their mean",
    "gps_median": "distance of the aligned model from GPS, metres, median",
    "gps_max": "the same, largest",
    "gps_relative": "`gps_median` as a share of how far the GPS positions reach",
}
"""What `--check` and report.json call figures, and their meanings."""

_DRAWN_NODES = 240
_LINKS_OF_A_NODE = 6
_FIELDS = 8
"""Cameras that have a residual field of their own on the page."""


@dataclass
class Content:
    """data: what becomes report.json. observations: of each model, for drawings."""

    data: dict[str, Any]
    observations: list[Observations]
    graph: Graph


def build_content(inputs: Inputs) -> Content:
    """Return all figures. Nothing here is quadratic in the number of images."""
    names = [photo.name for photo in inputs.photos]
    rows = {name: row for row, name in enumerate(names)}
    graph = build_graph(len(names), inputs.pairs.images, inputs.pairs.inliers)
    seen = [residuals.observations(model) for model in inputs.models]
    models = [_model(number, model, here) for number, (model, here) in enumerate(zip(inputs.models, seen, strict=True))]
    images = _images(inputs, graph, seen, rows)
    gps = _gps(inputs, images, rows)
    cameras = _cameras(inputs.models[0]) if inputs.models else []
    fields = _fields(inputs.models[0], seen[0], cameras) if inputs.models else []
    figures = _figures(inputs, graph, images, models, cameras, gps, fields)
    data = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"xfeat {__version__}",
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "folder": inputs.folder,
        "verdict": {},
        "figures": figures,
        "models": models,
        "images": images,
        "pairs": _pairs(inputs, graph),
        "components": [size for size in graph.sizes if size > 1],
        "single_images": sum(size == 1 for size in graph.sizes),
        "graph": _drawn_graph(inputs, graph, images),
        "cameras": cameras,
        "residuals": {
            "fields": fields,
            "histogram": residuals.histogram(seen[0].errors) if seen else residuals.histogram(np.zeros(0, np.float32)),
            "by_track_length": (
                residuals.by_track_length(seen[0], inputs.models[0].track_lengths) if inputs.models else []
            ),
        },
        "coverage": _coverage(inputs, seen),
        "gps": gps,
        "run": _writable(inputs.run),
        "problems": inputs.problems,
    }
    data["verdict"] = _verdict(data)
    return Content(data, seen, graph)


def _writable(value: Any) -> Any:
    """Return the same with infinities and what is not a number as words, which JSON has no numbers for."""
    if isinstance(value, dict):
        return {str(key): _writable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_writable, value)]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _verdict(data: dict[str, Any]) -> dict[str, Any]:
    verdict = judge(data)
    figures = [{"text": figure.text, "about": figure.about, "grade": figure.grade.value} for figure in verdict.figures]
    return {**asdict(verdict), "grade": verdict.grade.value, "figures": figures}


def _model(number: int, model: SparseModel, seen: Observations) -> dict[str, Any]:
    errors = residuals.point_errors(seen, len(model.points))
    known = errors[np.isfinite(errors)]
    return {
        "number": number,
        "folder": str(model.folder),
        "registered": len(model.images),
        "points": len(model.points),
        "observations": int(model.track_lengths.sum()),
        "mean_track_length": float(model.track_lengths.mean()) if len(model.points) else None,
        "reprojection_px": float(known.mean()) if len(known) else None,
        "reprojection_median_px": float(np.median(seen.errors)) if len(seen.errors) else None,
    }


def _images(inputs: Inputs, graph: Graph, seen: list[Observations], rows: dict[str, int]) -> list[dict[str, Any]]:
    pairs = inputs.pairs
    verified = pairs.inliers >= LEAST_INLIERS
    both = pairs.images.T
    count = len(inputs.photos)
    paired, linked, inliers = (
        np.bincount(both.reshape(-1), np.concatenate([weights] * 2), minlength=count).astype(np.int64)
        for weights in (np.ones(len(verified)), verified, np.where(verified, pairs.inliers, 0))
    )
    images: list[dict[str, Any]] = [
        {
            "name": photo.name,
            "state": "missing",
            "model": None,
            "reason": None,
            "width": photo.size[0] or None,
            "height": photo.size[1] or None,
            "keypoints": photo.keypoints,
            "coverage": photo.coverage,
            "pairs": int(paired[row]),
            "verified_pairs": int(linked[row]),
            "verified_matches": int(inliers[row]),
            "component": int(graph.component[row]),
            "observations": 0,
            "reprojection_px": None,
            "camera": None,
            "position": None,
            "gps_deviation_m": None,
        }
        for row, photo in enumerate(inputs.photos)
    ]
    for number, (model, here) in enumerate(zip(inputs.models, seen, strict=True)):
        observed = np.bincount(here.image, minlength=len(model.images))
        errors = np.bincount(here.image, here.errors, minlength=len(model.images)) / np.maximum(observed, 1)
        for posed, observations, error in zip(model.images, observed.tolist(), errors.tolist(), strict=True):
            entry = images[rows[posed.name]]
            if entry["model"] is not None:
                continue
            width, height = model.cameras[posed.camera].size
            entry.update(
                state="registered" if number == 0 else "other model",
                model=number,
                width=width,
                height=height,
                observations=observations,
                reprojection_px=error if observations else None,
                camera=posed.camera,
                position=posed.centre.tolist(),
            )
    reasons = Reasons(inputs.photos, pairs, graph, [image["model"] == 0 for image in images])
    for row, image in enumerate(images):
        if image["model"] != 0:
            reason = reasons.of(row, image["model"])
            image["reason"] = asdict(reason)
            if reason.kind == "unreadable":
                image["state"] = "unreadable"
    return images


def _pairs(inputs: Inputs, graph: Graph) -> dict[str, Any]:
    pairs = inputs.pairs
    return {
        "verified_by": pairs.verified_by,
        "least_inliers": LEAST_INLIERS,
        "weak_inliers": WEAK_INLIERS,
        "image0": pairs.images[:, 0].tolist(),
        "image1": pairs.images[:, 1].tolist(),
        "matches": pairs.matches.tolist(),
        "inliers": pairs.inliers.tolist(),
        "bridges": graph.bridges,
        "weak_links": [
            {"pair": link.pair, "inliers": link.inliers, "sizes": list(link.sizes)} for link in graph.weak_links
        ],
    }


def _drawn_graph(inputs: Inputs, graph: Graph, images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the graph that the page draws: images, or groups of images when there are many, each with its strongest
    links.

    Of very many groups, which only images without links make, the largest are drawn.
    """
    pairs, count = inputs.pairs, len(images)
    group = np.arange(count) if count <= _DRAWN_NODES else grouped(count, pairs.images, pairs.inliers, _DRAWN_NODES)
    group = _renumbered_by_size(group)
    nodes = min(int(group.max()) + 1 if count else 0, 2 * _DRAWN_NODES)
    shown = group < nodes
    sizes = np.bincount(group[shown], minlength=nodes)
    registered = np.bincount(group[shown], _in_largest(images)[shown], minlength=nodes) / np.maximum(sizes, 1)
    first = np.full(nodes, count, np.int64)
    np.minimum.at(first, group[shown], np.flatnonzero(shown))
    links = _links(inputs, group, nodes)
    special, weak = (
        {tuple(sorted(group[pairs.images[row]].tolist())) for row in rows}
        for rows in (graph.bridges, [link.pair for link in graph.weak_links])
    )
    drawn = [
        {"a": a, "b": b, "inliers": inliers, "bridge": (a, b) in special, "weak": (a, b) in weak, "strong": strong}
        for a, b, inliers, strong in links
    ]
    return {
        "grouped": bool(count > _DRAWN_NODES),
        "left_out": int(count - shown.sum()),
        "nodes": [
            {
                "image": int(first[node]),
                "images": int(sizes[node]),
                "component": int(graph.component[first[node]]),
                "registered": float(registered[node]),
            }
            for node in range(nodes)
        ],
        "links": [link for link in drawn if link.pop("strong") or link["bridge"] or link["weak"]],
    }


def _renumbered_by_size(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the same groups, the largest first, and those of one size in the order of their first images."""
    order = np.argsort(-np.bincount(group), kind="stable") if len(group) else group
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    return number[group]


def _in_largest(images: list[dict[str, Any]]) -> npt.NDArray[np.float64]:
    return np.array([image["model"] == 0 for image in images], np.float64)


def _links(inputs: Inputs, group: npt.NDArray[np.int64], nodes: int) -> list[tuple[int, int, int, bool]]:
    """Return links between groups below `nodes`: both, verified matches in all, and whether it is a strong one of
    either.
    """
    pairs = inputs.pairs
    ends = np.sort(group[pairs.images[pairs.inliers >= LEAST_INLIERS]].reshape(-1, 2), axis=1)
    between = (ends[:, 0] != ends[:, 1]) & (ends[:, 1] < nodes)
    keys, inverse = np.unique(ends[between, 0] * max(nodes, 1) + ends[between, 1], return_inverse=True)
    weights = pairs.inliers[pairs.inliers >= LEAST_INLIERS][between]
    inliers = np.bincount(inverse.reshape(-1), weights, minlength=len(keys)).astype(np.int64)
    one, other = keys // max(nodes, 1), keys % max(nodes, 1)
    strong = _strongest(one, other, inliers, nodes)
    return [*zip(one.tolist(), other.tolist(), inliers.tolist(), strong.tolist(), strict=True)]


def _strongest(one: npt.NDArray, other: npt.NDArray, inliers: npt.NDArray, nodes: int) -> npt.NDArray[np.bool_]:
    """Return which links are among the few strongest of either of their ends."""
    keep = np.zeros(len(one), bool)
    ends = np.concatenate([one, other])
    links = np.tile(np.arange(len(one)), 2)
    order = np.lexsort((-inliers[links], ends))
    starts = np.searchsorted(ends[order], np.arange(nodes + 1))
    rank = np.arange(len(order)) - starts[ends[order]]
    keep[links[order[rank < _LINKS_OF_A_NODE]]] = True
    return keep


def _cameras(model: SparseModel) -> list[dict[str, Any]]:
    used = np.array([image.camera for image in model.images], np.int64)
    return [
        {
            "number": number,
            "model": camera.model,
            "width": camera.size[0],
            "height": camera.size[1],
            "images": int((used == number).sum()),
            "focal_px": camera.focal_px if not camera.spherical else None,
            "view_deg": _view_deg(camera),
            "parameters": camera.parameters,
        }
        for number, camera in model.cameras.items()
        if (used == number).any()
    ]


def _view_deg(camera: ModelCamera) -> float | None:
    """Return horizontal field of view, as of a pinhole."""
    return None if camera.spherical else float(np.degrees(2 * np.arctan(camera.size[0] / (2 * camera.focal_px))))


def _fields(model: SparseModel, seen: Observations, cameras: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the residual field of all images, then of the cameras with most images."""
    of_image = np.array([image.camera for image in model.images], np.int64)
    fields = [{"camera": None, **residuals.field(seen)}]
    ordered = sorted(cameras, key=lambda camera: -camera["images"])[:_FIELDS]
    for camera in ordered if len(cameras) > 1 else []:
        keep = of_image[seen.image] == camera["number"]
        part = Observations(seen.image[keep], seen.track[keep], seen.place[keep], seen.residual[keep])
        fields.append({"camera": camera["number"], **residuals.field(part)})
    return fields


def _coverage(inputs: Inputs, seen: list[Observations]) -> dict[str, Any]:
    return {
        "columns": residuals.COLUMNS,
        "rows": residuals.ROWS,
        "keypoints": None if inputs.keypoint_density is None else inputs.keypoint_density.reshape(-1).tolist(),
        "observations": residuals.density(seen[0].place).reshape(-1).tolist() if seen else None,
    }


def _gps(inputs: Inputs, images: list[dict[str, Any]], rows: dict[str, int]) -> dict[str, Any] | None:
    """Return positions of GPS, those of the model where it can be aligned, and how far they are apart; None without
    GPS.
    """
    known = [row for row, photo in enumerate(inputs.photos) if photo.position is not None]
    if not known:
        return None
    positions = local_frame(np.array([inputs.photos[row].position for row in known]))
    gps: dict[str, Any] = {
        "image": known,
        "gps_m": positions.round(3).tolist(),
        "model_m": [None] * len(known),
        "deviation_median_m": None,
        "deviation_max_m": None,
        "deviation_relative": None,
        "metres_per_unit": None,
        "rotation": None,
    }
    placed = [at for at, row in enumerate(known) if images[row]["model"] == 0]
    centres = np.array([images[known[at]]["position"] for at in placed]).reshape(-1, 3)
    similarity = aligned(centres, positions[placed]) if placed else None
    if similarity is None:
        return gps
    moved = similarity.apply(centres)
    away = np.linalg.norm(moved - positions[placed], axis=1)
    for at, place, distance in zip(placed, moved.round(3).tolist(), away.tolist(), strict=True):
        gps["model_m"][at] = place
        images[known[at]]["gps_deviation_m"] = distance
    gps.update(
        deviation_median_m=float(np.median(away)),
        deviation_max_m=float(away.max()),
        deviation_relative=float(np.median(away) / np.linalg.norm(np.ptp(positions, axis=0))),
        metres_per_unit=similarity.scale,
        rotation=similarity.rotation.tolist(),
    )
    return gps


def _figures(
    inputs: Inputs,
    graph: Graph,
    images: list[dict[str, Any]],
    models: list[dict[str, Any]],
    cameras: list[dict[str, Any]],
    gps: dict[str, Any] | None,
    fields: list[dict[str, Any]],
) -> dict[str, float | None]:
    """Return one number each, by the names that `--check` takes; None where it is not known."""
    pairs, count = inputs.pairs, len(images)
    model = models[0] if models else {}
    registered = model.get("registered", 0)
    focal = [camera["focal_px"] / camera["width"] for camera in cameras if camera["focal_px"]]
    keypoints = [photo.keypoints for photo in inputs.photos if photo.keypoints is not None]
    coverage = [photo.coverage for photo in inputs.photos if photo.coverage is not None]
    verified = int((pairs.inliers >= LEAST_INLIERS).sum())
    longest = max((max(camera["width"], camera["height"]) for camera in cameras), default=0)
    reprojection = model.get("reprojection_px")
    figures: dict[str, float | None] = {
        "images": count,
        "registered_images": registered,
        "registered": registered / count if count else None,
        "unreadable": sum(image["state"] == "unreadable" for image in images),
        "models": len(models),
        "components": sum(size > 1 for size in graph.sizes),
        "points": model.get("points", 0),
        "observations": model.get("observations", 0),
        "observations_per_image": model["observations"] / registered if registered else None,
        "track_length": model.get("mean_track_length"),
        "reprojection": reprojection,
        "reprojection_median": model.get("reprojection_median_px"),
        "reprojection_relative": reprojection / longest if reprojection is not None and longest else None,
        "residual_pattern": fields[0]["pattern_px"] if fields else None,
        "keypoints": float(np.mean(keypoints)) if keypoints else None,
        "coverage": float(np.mean(coverage)) if coverage else None,
        "pairs": len(pairs.images),
        "verified_pairs": verified,
        "verified": verified / len(pairs.images) if len(pairs.images) else None,
        "inlier_ratio": float(pairs.inliers.sum() / max(pairs.matches.sum(), 1)) if len(pairs.images) else None,
        "bridges": len(graph.bridges),
        "weak_links": len(graph.weak_links),
        "cameras": len(cameras),
        "focal_spread": float(np.std(focal) / np.mean(focal)) if len(focal) > 1 else None,
        "gps_median": gps["deviation_median_m"] if gps else None,
        "gps_max": gps["deviation_max_m"] if gps else None,
        "gps_relative": gps["deviation_relative"] if gps else None,
    }
    assert figures.keys() == FIGURES.keys()
    return figures
