"""A model moved to where its photographs were taken: into metres east, north and up of an origin on WGS84.

Positions do not change the shape of the model: it is turned, scaled and moved as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xfeat_cli.files import write_text
from xfeat_cli.metadata import GeoPosition
from xfeat_cli.sfm.engine import pycolmap

NAME = "georegistration.json"

Float64Array = npt.NDArray[np.float64]

_LEAST_IMAGES = 3
_ACCURACY_M = 10.0
"""How far positions of receivers in cameras and drones are off, at most of them."""

_FAR = 5.0
"""An image so many times the accuracy off has a wrong pose, or a wrong position."""

_LEAST_SPREADS = 2.0
"""Positions must spread over so many times their accuracy to tell scale and direction …"""

_LEAST_WIDTH = 0.02
"""… and be so many times as wide as long: along a line, the turn about it is free."""


@dataclass(frozen=True)
class Places:
    """Where photographs were taken: (3,) metres by name, east, north and up of `origin`; or, without, a list's own."""

    by_name: Mapping[str, tuple[float, float, float]]
    origin: GeoPosition | None = None


@dataclass(frozen=True)
class GeoRegistration:
    """images: whose positions were used. median, largest: distance of projection centres from them, m; worst: of whom.

    far: distance, m, by name of the images that lie much farther off than positions are inaccurate.
    problem: why the model was left in a frame of its own; empty when it was moved.
    """

    images: int = 0
    median: float = 0.0
    largest: float = 0.0
    worst: str = ""
    origin: dict[str, Any] | None = None
    far: dict[str, float] = field(default_factory=dict)
    problem: str = ""


def georegister(model: Any, places: Places) -> GeoRegistration | None:
    """Move a pycolmap.Reconstruction; None where fewer than three of its images have a position."""
    centres = {
        image.name: image.projection_center()
        for image in model.images.values()
        if image.has_pose and image.name in places.by_name
    }
    if len(centres) < _LEAST_IMAGES:
        return None
    names = sorted(centres)
    targets = np.array([places.by_name[name] for name in names], np.float64)
    accuracy = _ACCURACY_M if places.origin is not None else 0.02 * float(np.linalg.norm(np.ptp(targets, axis=0)))
    if problem := _too_little(targets, accuracy):
        return GeoRegistration(len(names), problem=problem)
    engine = pycolmap()
    ransac = engine.RANSACOptions()
    ransac.max_error = accuracy
    ransac.random_seed = 0
    similarity = engine.align_reconstruction_to_locations(model, names, targets, _LEAST_IMAGES, ransac)
    if similarity is None:
        return GeoRegistration(len(names), problem="the positions do not agree with the model")
    model.transform(similarity)
    moved = np.array([similarity * centres[name] for name in names])
    off = np.linalg.norm(moved - targets, axis=1)
    origin = None if places.origin is None else asdict(places.origin)
    far = {name: float(distance) for name, distance in zip(names, off, strict=True) if distance > _FAR * accuracy}
    worst = int(off.argmax())
    return GeoRegistration(len(names), float(np.median(off)), float(off[worst]), names[worst], origin, far)


def write_registration(folder: Path, registration: GeoRegistration) -> None:
    """Write beside a model what its frame is."""
    frame = "metres east, north and up of the origin (WGS84)" if registration.origin else "that of the positions"
    write_text(folder / NAME, json.dumps({"frame": frame, **asdict(registration)}, indent=1))


def _too_little(targets: Float64Array, accuracy: float) -> str:
    """Return why positions cannot tell where a model lies; empty when they can."""
    spread = np.linalg.svd(targets - targets.mean(axis=0), compute_uv=False) / np.sqrt(len(targets))
    if spread[0] < _LEAST_SPREADS * accuracy:
        return f"the positions spread over {2 * spread[0]:.3g} m, too little for their accuracy of {accuracy:.3g} m"
    if spread[1] < max(_LEAST_WIDTH * spread[0], 0.1 * accuracy):
        return "the positions lie on a line, about which the model could turn"
    return ""
