"""A pair of photographs and what joins them: verified matches solid and blue, rejected ones dashed and orange."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from xfeat_cli.types import FloatArray
from xfeat_cli.view.drawing import ORANGE, PAPER, SKY, captioned, circle, cross, dashed, line
from xfeat_cli.view.photograph import Photograph, Picture

_GAP = 8
_THRESHOLD_PX = 3.0
_LEAST_FOR_GEOMETRY = 8


@dataclass(frozen=True)
class JoinedPoints:
    """Matches as points (M, 2) of both images, stored-image pixels. inlier: (M,) bool. judged_by: who said so."""

    points0: FloatArray
    points1: FloatArray
    inlier: npt.NDArray[np.bool_]
    judged_by: str = ""


def judged(points0: FloatArray, points1: FloatArray) -> JoinedPoints:
    """Tell inliers from outliers by a fundamental matrix (MAGSAC, 3 px), for files without a verified database.

    With fewer than 8 matches, or where there is no such matrix, none is an inlier.
    """
    inlier = np.zeros(len(points0), bool)
    if len(points0) >= _LEAST_FOR_GEOMETRY:
        cv2.setRNGSeed(0)
        found, mask = cv2.findFundamentalMat(
            np.asarray(points0, np.float64),
            np.asarray(points1, np.float64),
            cv2.USAC_MAGSAC,
            _THRESHOLD_PX,
            0.9999,
            5000,
        )
        if found is not None and mask is not None:
            inlier = mask.ravel().astype(bool)
    return JoinedPoints(points0, points1, inlier, "MAGSAC, 3 px")


def matches_picture(photo0: Photograph, photo1: Photograph, joined: JoinedPoints, *, most: int = 100) -> Picture:
    """Return both photographs side by side (one above the other when they are wide) with at most `most` matches of each
    kind.

    The drawn ones are spread evenly over the matches' order.
    """
    across = photo0.pixels.shape[1] + photo1.pixels.shape[1] <= 2.8 * max(
        photo0.pixels.shape[0], photo1.pixels.shape[0]
    )
    picture, offset = _joined(photo0.pixels, photo1.pixels, across)
    places0 = photo0.places(joined.points0)
    places1 = photo1.places(joined.points1) + offset
    rejected, verified = _spread(np.flatnonzero(~joined.inlier), most), _spread(np.flatnonzero(joined.inlier), most)
    for row in rejected:
        dashed(picture, places0[row], places1[row], ORANGE)
        cross(picture, places0[row], 4, ORANGE)
        cross(picture, places1[row], 4, ORANGE)
    for row in verified:
        line(picture, places0[row], places1[row], SKY)
        circle(picture, places0[row], 3, SKY)
        circle(picture, places1[row], 3, SKY)
    inliers, total = int(joined.inlier.sum()), len(joined.inlier)
    about = (
        f"{inliers:,} of {total:,} matches verified (solid, circles); {total - inliers:,} rejected (dashed, crosses)"
    )
    if len(verified) + len(rejected) < total:
        about += f"; {len(verified)} and {len(rejected)} drawn"
    if joined.judged_by:
        about += f"; judged by {joined.judged_by}"
    return captioned(captioned(picture, f"{photo0.name}  |  {photo1.name}"), about)


def _joined(left: Picture, right: Picture, across: bool) -> tuple[Picture, FloatArray]:
    """Return two pictures on one, and where the second begins (x, y)."""
    (height0, width0), (height1, width1) = left.shape[:2], right.shape[:2]
    if across:
        canvas = np.full((max(height0, height1), width0 + _GAP + width1, 3), PAPER, np.uint8)
        offset = (width0 + _GAP, 0)
    else:
        canvas = np.full((height0 + _GAP + height1, max(width0, width1), 3), PAPER, np.uint8)
        offset = (0, height0 + _GAP)
    canvas[:height0, :width0] = left
    canvas[offset[1] : offset[1] + height1, offset[0] : offset[0] + width1] = right
    return canvas, np.array(offset, np.float32)


def _spread(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Return at most `most` of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(int)]
