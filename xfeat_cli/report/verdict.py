"""Figures → a verdict in words, the three figures that carry it, and what to do next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any

_GOOD_SHARE, _FAIR_SHARE = 0.95, 0.6
_GOOD_ERROR, _FAIR_ERROR = 0.001, 0.002
"""Mean reprojection error as a share of the photograph's longest side: 1.2 and 2.4 px at 1200."""
_SHORT_TRACKS = 3.0
_SPREAD = 0.02
_PATTERN = 0.25
_FAR_FROM_GPS, _FAR_TIMES, _FAR_METRES = 0.05, 8, 20
_MOST_STEPS = 5


class Grade(str, Enum):
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True)
class Figure:
    """One figure as it is shown: "11 of 11", "photographs registered". grade: what it alone would say."""

    text: str
    about: str
    grade: Grade


@dataclass(frozen=True)
class Step:
    """What to do next: a sentence, and a command or ""."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Verdict:
    """headline: a few words. sentence: the verdict with its figures. figures: the three that carry it."""

    grade: Grade
    headline: str
    sentence: str
    figures: list[Figure]
    next: list[Step]


_HEADLINES = {
    Grade.GOOD: "A good reconstruction",
    Grade.FAIR: "Usable, with reservations",
    Grade.POOR: "A weak reconstruction",
    Grade.FAILED: "Nothing was reconstructed",
    Grade.NONE: "Not reconstructed yet",
}

_ORDER = [Grade.GOOD, Grade.FAIR, Grade.POOR]


def judge(data: dict[str, Any]) -> Verdict:
    """data: the content of report.json, all but the verdict."""
    figures = data["figures"]
    if not data["models"] or not figures["registered_images"]:
        return _without_model(data)
    shown = [_registered(figures), _error(figures), _blocks(data)]
    grade = max((*(figure.grade for figure in shown), _gps_grade(figures)), key=_ORDER.index)
    sentence = f"{shown[0].text} photographs registered, reprojection error {shown[1].text}, {shown[2].text}."
    if far := _far_from_gps(data):
        sentence += f" GPS says that {_photographs(len(far))} stand{'s' if len(far) == 1 else ''} elsewhere."
        grade = max(grade, Grade.FAIR, key=_ORDER.index)
    return Verdict(grade, _HEADLINES[grade], sentence, shown, _next_steps(data, grade))


def _registered(figures: dict[str, Any]) -> Figure:
    share = figures["registered"]
    grade = Grade.GOOD if share >= _GOOD_SHARE else Grade.FAIR if share >= _FAIR_SHARE else Grade.POOR
    return Figure(f"{figures['registered_images']:,} of {figures['images']:,}", "photographs registered", grade)


def _error(figures: dict[str, Any]) -> Figure:
    error, relative = figures["reprojection"], figures["reprojection_relative"]
    if error is None or relative is None:
        return Figure("unknown", "reprojection error", Grade.POOR)
    grade = Grade.GOOD if relative <= _GOOD_ERROR else Grade.FAIR if relative <= _FAIR_ERROR else Grade.POOR
    about = f"mean reprojection error, {relative:.2%} of the photograph's length"
    return Figure(f"{error:.2f} px", about, grade)


def _blocks(data: dict[str, Any]) -> Figure:
    sizes = _sizes_of_blocks(data)
    if len(sizes) > 1:
        about = f"of {', '.join(f'{size:,}' for size in sizes[:4])} photographs, which nothing joins"
        grade = Grade.POOR if sizes[1] > 0.3 * sizes[0] else Grade.FAIR
        return Figure(f"{len(sizes)} separate models", about, grade)
    weak = len(data["pairs"]["weak_links"])
    if weak:
        return Figure("one block with weak links", f"{weak:,} places where few matches join two parts", Grade.FAIR)
    return Figure("one connected block", "every photograph is joined to the others by verified matches", Grade.GOOD)


def _gps_grade(figures: dict[str, Any]) -> Grade:
    """A model that does not fit its GPS is bent, or the GPS is bad."""
    relative = figures["gps_relative"]
    return Grade.FAIR if relative is not None and relative > _FAR_FROM_GPS else Grade.GOOD


def _sizes_of_blocks(data: dict[str, Any]) -> list[int]:
    """Return photographs of each model that no larger model holds; COLMAP's models may repeat one another."""
    counts = Counter(image["model"] for image in data["images"] if image["model"] is not None)
    return [counts[number] for number in sorted(counts)]


def _without_model(data: dict[str, Any]) -> Verdict:
    figures = data["figures"]
    tried = bool(data["run"].get("reconstruction_tried"))
    grade = Grade.FAILED if tried or figures["images"] == 0 else Grade.NONE
    shown = [
        Figure(f"0 of {figures['images']:,}", "photographs registered", Grade.POOR),
        Figure(
            f"{figures['verified_pairs']:,} of {figures['pairs']:,}",
            "pairs with 15 verified matches or more",
            Grade.GOOD if figures["verified_pairs"] else Grade.POOR,
        ),
        Figure(
            "no keypoints" if not figures["keypoints"] else f"{figures['keypoints']:,.0f}",
            "keypoints a photograph",
            Grade.GOOD if figures["keypoints"] else Grade.POOR,
        ),
    ]
    sentence = (
        f"There is no model: {figures['images']:,} photographs, {figures['pairs']:,} pairs with matches, "
        f"{figures['verified_pairs']:,} of them verified."
    )
    return Verdict(grade, _HEADLINES[grade], sentence, shown, _first_steps(data))


def _first_steps(data: dict[str, Any]) -> list[Step]:
    figures = data["figures"]
    if not figures["images"]:
        return [Step("There is no photograph here: give the folder that `xfeat sfm` wrote, or a COLMAP model.")]
    if not figures["keypoints"]:
        return [Step("No features were found: extract them first.", "xfeat extract IMAGES out.h5")]
    if not figures["pairs"]:
        return [Step("Nothing has been matched yet: let sfm do every stage.", "xfeat sfm IMAGES OUT_DIR")]
    if not figures["verified_pairs"]:
        return [
            Step("No two photographs share enough of the scene: take more, with at least 60 % overlap."),
            Step("Were they taken one after another? Match each with more of those that follow.", _sequential(data)),
            Step("Look at the best pairs: are the matches right?", "xfeat view matches.h5 --most 10 --images IMAGES"),
        ]
    return [
        Step("There are verified pairs: reconstruct them.", "xfeat sfm IMAGES OUT_DIR"),
        Step("If that was tried, no pair could begin a model: move between photographs, do not only turn."),
    ]


def _next_steps(data: dict[str, Any], grade: Grade) -> list[Step]:
    figures = data["figures"]
    steps = [*_missing_steps(data), *_joining_steps(data), *_gps_steps(data), *_camera_steps(data)]
    if figures["track_length"] is not None and figures["track_length"] < _SHORT_TRACKS:
        steps.append(Step("Points are seen in few photographs: match more pairs, or photograph with more overlap.", ""))
    if grade is Grade.GOOD:
        folder = data["models"][0]["folder"]
        steps.append(
            Step(
                "Take it further: as a point cloud, or for Gaussian splatting.",
                f"xfeat export {folder} --ply points.ply --nerfstudio transforms.json",
            )
        )
    return steps[:_MOST_STEPS]


def _missing_steps(data: dict[str, Any]) -> list[Step]:
    kinds = Counter(image["reason"]["kind"] for image in data["images"] if image["reason"] is not None)
    steps = []
    if kinds["unreadable"]:
        steps.append(
            Step(f"{_photographs(kinds['unreadable']).capitalize()} could not be read: repair or remove the files.")
        )
    if kinds["few keypoints"]:
        steps.append(Step(f"Few keypoints in {_photographs(kinds['few keypoints'])}: blurred, dark or plain ones."))
    if kinds["not paired"]:
        steps.append(
            Step(f"No matched pair has {_photographs(kinds['not paired'])}: match more pairs.", _more_pairs(data))
        )
    if kinds["not verified"] or kinds["too few points"] or kinds["partners missing"]:
        count = kinds["not verified"] + kinds["too few points"] + kinds["partners missing"]
        steps.append(
            Step(
                f"{_photographs(count).capitalize()} could not be joined to the rest: add photographs in between"
                f"{', or match more pairs' if _more_pairs(data) else ''}.",
                _more_pairs(data),
            )
        )
    return steps


def _joining_steps(data: dict[str, Any]) -> list[Step]:
    if len(_sizes_of_blocks(data)) > 1:
        text = "Join the models: photographs that show the end of one and the beginning of the other"
        return [Step(f"{text}{', or more pairs' if _more_pairs(data) else ''}.", _more_pairs(data))]
    weak = data["pairs"]["weak_links"]
    if not weak:
        return []
    pair, pairs = weak[0]["pair"], data["pairs"]
    one, other = (data["images"][pairs[key][pair]]["name"] for key in ("image0", "image1"))
    return [
        Step(
            f"The weakest link, {one} with {other}, has {weak[0]['inliers']} verified matches and holds "
            f"{min(weak[0]['sizes']):,} photographs to the rest: add photographs between the two."
        )
    ]


def _gps_steps(data: dict[str, Any]) -> list[Step]:
    median, worst = data["figures"]["gps_median"], data["figures"]["gps_max"]
    if median is None or worst is None:
        return []
    if _gps_grade(data["figures"]) is not Grade.GOOD:
        return [Step(f"The model is {median:.1f} m away from GPS (median): it is bent, or GPS is bad; see the map.")]
    far = _far_from_gps(data)
    if not far:
        return []
    name = max(far, key=lambda image: image["gps_deviation_m"])["name"]
    text = f"{name} is {worst:.0f} m away from its GPS position: see the map, and its matches."
    return [Step(text)]


def _far_from_gps(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return images that are much farther from their GPS position than the others."""
    least = max(_FAR_TIMES * (data["figures"]["gps_median"] or 0), _FAR_METRES)
    placed = [image for image in data["images"] if image["gps_deviation_m"] is not None]
    return [image for image in placed if image["gps_deviation_m"] > least]


def _camera_steps(data: dict[str, Any]) -> list[Step]:
    figures, options = data["figures"], data["run"].get("options", {})
    steps = []
    spread, cameras = figures["focal_spread"], figures["cameras"]
    same_size = len({(camera["width"], camera["height"]) for camera in data["cameras"]}) == 1
    if spread is not None and spread > _SPREAD and same_size and cameras > 1:
        steps.append(
            Step(
                f"{cameras:,} cameras of one size have focal lengths that differ by {spread:.1%}: if one lens took "
                "all photographs, say so.",
                "xfeat sfm IMAGES OUT_DIR --single-camera",
            )
        )
    pattern, error = figures["residual_pattern"], figures["reprojection"]
    if pattern is not None and error and pattern > _PATTERN * error and pattern > 0.1:
        model = "OPENCV" if options.get("cameras", {}).get("model") != "OPENCV" else "FULL_OPENCV"
        steps.append(
            Step(
                f"Residuals follow a pattern over the image ({pattern:.2f} px): the camera model is too simple.",
                f"xfeat sfm IMAGES OUT_DIR --camera-model {model}",
            )
        )
    return steps


def _more_pairs(data: dict[str, Any]) -> str:
    """Return a command that matches more pairs than the run did; "" when it matched all, or nobody knows."""
    kinds = _pair_kinds(data)
    if not kinds or "exhaustive" in kinds:
        return ""
    if data["figures"]["images"] <= 500:
        return "xfeat sfm IMAGES OUT_DIR --pairs exhaustive"
    return "xfeat sfm IMAGES OUT_DIR --pairs retrieval --num 50"


def _sequential(data: dict[str, Any]) -> str:
    return "xfeat sfm IMAGES OUT_DIR --pairs sequential --overlap 20" if "sequential" in _pair_kinds(data) else ""


def _pair_kinds(data: dict[str, Any]) -> list[str]:
    """Return which pairs the run matched, as far as that is known."""
    return [*map(str, data["run"].get("options", {}).get("pairing", {}).get("kinds", []))]


def _photographs(count: int) -> str:
    return "one photograph" if count == 1 else f"{count:,} photographs"
