"""Figures, reasons and verdicts of synthetic reconstructions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.report.synthetic import SIZE, image_name, inputs_of, ring_model, ring_pairs
from xfeat_cli.alignment import Similarity
from xfeat_cli.errors import UsageError
from xfeat_cli.pairing.positions import to_metres
from xfeat_cli.report import residuals
from xfeat_cli.report.checks import parse_condition
from xfeat_cli.report.content import FIGURES, build_content
from xfeat_cli.report.inputs import Inputs, Look, Pairs
from xfeat_cli.report.place import aligned, local_frame


def _data(inputs: Inputs) -> dict[str, Any]:
    data = build_content(inputs).data
    json.dumps(data, allow_nan=False)
    return data


def test_a_good_reconstruction_reads_so() -> None:
    data = _data(inputs_of(12, [ring_model(12, 4000, 1000)], ring_pairs(12)))
    figures = data["figures"]
    assert figures["registered"] == 1
    assert figures["reprojection"] == pytest.approx(0.5)
    assert figures["observations"] == 12_000
    assert figures["track_length"] == pytest.approx(3)
    assert figures["verified"] == 1
    assert figures["components"] == 1
    assert figures["residual_pattern"] == pytest.approx(0.5, rel=1e-3)
    assert data["verdict"]["grade"] == "good"
    assert data["verdict"]["sentence"] == (
        "12 of 12 photographs registered, reprojection error 0.50 px, one connected block."
    )
    assert len(data["verdict"]["figures"]) == 3


def test_every_figure_has_its_meaning() -> None:
    assert _data(inputs_of(0, [], []))["figures"].keys() == FIGURES.keys()


def test_missing_photographs_come_with_reasons() -> None:
    inputs = inputs_of(12, [ring_model(6, 200, 100)], [*ring_pairs(6), (2, 6, 40, 3), (3, 7, 90, 60), (8, 9, 90, 60)])
    inputs.photos[10].keypoints, inputs.photos[10].look = 30, Look(8, 3, 1)
    inputs.photos[11].problem, inputs.photos[11].keypoints = "11.jpg: damaged", None
    inputs.photos[6].look = Look(120, 50, 2)
    data = _data(inputs)
    kinds = {row: image["reason"]["kind"] for row, image in enumerate(data["images"]) if image["reason"]}
    assert kinds == {
        6: "not verified",
        7: "too few points",
        8: "other component",
        9: "other component",
        10: "few keypoints",
        11: "unreadable",
    }
    texts = [image["reason"]["text"] for image in data["images"] if image["reason"]]
    assert "less sharp" in texts[0]
    assert image_name(3) in texts[1]
    assert "very dark" in texts[4]
    assert data["images"][11]["state"] == "unreadable"
    assert data["verdict"]["grade"] == "poor"
    assert data["verdict"]["figures"][0] == {"text": "6 of 12", "about": "photographs registered", "grade": "poor"}


def test_two_components_read_as_two_models() -> None:
    models = [ring_model(8, 200, 100), ring_model(4, 100, 60, first=8, folder="sparse/1")]
    pairs = [*ring_pairs(8), *[(a + 8, b + 8, c, d) for a, b, c, d in ring_pairs(4)]]
    data = _data(inputs_of(12, models, pairs))
    assert data["components"] == [8, 4]
    assert "2 separate models" in data["verdict"]["sentence"]
    assert [image["state"] for image in data["images"]] == ["registered"] * 8 + ["other model"] * 4
    assert any("Join the models" in step["text"] for step in data["verdict"]["next"])


def test_models_that_repeat_one_another_are_one_block() -> None:
    data = _data(inputs_of(8, [ring_model(8, 200, 100), ring_model(3, 50, 40)], ring_pairs(8)))
    assert "one connected block" in data["verdict"]["sentence"]


@pytest.mark.parametrize(
    ("count", "pairs", "tried", "headline"),
    [
        (0, [], False, "Nothing was reconstructed"),
        (5, [], False, "Not reconstructed yet"),
        (5, [(0, 1, 30, 3)], True, "Nothing was reconstructed"),
        (5, ring_pairs(5), False, "Not reconstructed yet"),
    ],
)
def test_without_a_model(count: int, pairs: list, tried: bool, headline: str) -> None:
    inputs = inputs_of(count, [], pairs)
    inputs.run["reconstruction_tried"] = tried
    data = _data(inputs)
    assert data["verdict"]["headline"] == headline
    assert data["verdict"]["next"]


def test_a_model_without_images_and_points() -> None:
    data = _data(inputs_of(3, [ring_model(0, 0, 0)], []))
    assert data["verdict"]["grade"] in ("failed", "none")


def test_a_weak_link_is_named() -> None:
    pairs = [*ring_pairs(5), (4, 5, 60, 30), *[(a + 5, b + 5, c, d) for a, b, c, d in ring_pairs(5)]]
    data = _data(inputs_of(10, [ring_model(10, 300, 100)], pairs))
    assert data["verdict"]["grade"] == "fair"
    assert f"{image_name(4)} with {image_name(5)}" in data["verdict"]["next"][0]["text"]


def test_gps_is_compared_after_alignment_and_one_bad_fix_changes_nothing() -> None:
    inputs = inputs_of(12, [ring_model(12, 400, 100)], ring_pairs(12))
    for number, image in enumerate(inputs.models[0].images):
        x, y, z = image.centre * 10
        inputs.photos[number].position = to_metres(48.0 + y / 111_000, 2.0 + x / 74_500, 100 + z)
    inputs.photos[5].position = to_metres(48.01, 2.0, 100)
    gps = _data(inputs)["gps"]
    assert gps["deviation_median_m"] < 0.3
    assert gps["deviation_max_m"] > 900
    assert gps["metres_per_unit"] == pytest.approx(10, rel=0.02)


def test_alignment_needs_three() -> None:
    assert aligned(np.eye(3)[:2], np.eye(3)[:2]) is None
    assert aligned(np.zeros((5, 3)), np.random.default_rng(0).normal(size=(5, 3))) is None
    moved = Similarity(2.0, np.eye(3), np.ones(3))
    found = aligned(np.eye(3), moved.apply(np.eye(3)))
    assert found is not None
    assert found.scale == pytest.approx(2)


def test_the_local_frame_is_east_north_up() -> None:
    here = to_metres(48.0, 2.0, 100.0)
    frame = local_frame(np.stack([here, to_metres(48.0, 2.001, 100.0), to_metres(48.001, 2.0, 150.0), here, here]))
    assert frame[1] == pytest.approx((74.6, 0, 0), abs=0.2)
    assert frame[2] == pytest.approx((0, 111.2, 50), abs=0.2)


def test_residual_fields_tell_a_pattern_from_noise() -> None:
    rng = np.random.default_rng(0)
    count = 40_000
    place = rng.uniform(0, 1, (count, 2)).astype(np.float32)
    image, track = np.zeros(count, np.int64), np.zeros(count, np.int64)
    noise = rng.normal(0, 0.5, (count, 2)).astype(np.float32)
    assert residuals.field(residuals.Observations(image, track, place, noise))["pattern_px"] < 0.03
    radial = (0.8 * (place - 0.5)).astype(np.float32)
    pattern = residuals.field(residuals.Observations(image, track, place, noise + radial))["pattern_px"]
    assert pattern == pytest.approx(float(np.sqrt((radial**2).sum(1).mean())), rel=0.05)


def test_points_behind_a_camera_do_not_count() -> None:
    model = ring_model(3, 30, 20)
    model.images[0].residuals[:5] = np.nan
    assert len(residuals.observations(model).image) == 55


def test_histogram_and_track_lengths() -> None:
    model = ring_model(6, 60, 30)
    seen = residuals.observations(model)
    assert sum(residuals.histogram(seen.errors)["counts"]) + residuals.histogram(seen.errors)["beyond"] == 180
    lengths = residuals.by_track_length(seen, model.track_lengths)
    assert sum(entry["points"] for entry in lengths) == 60
    assert {round(entry["error_px"], 5) for entry in lengths} == {0.5}
    assert residuals.histogram(np.zeros(0, np.float32))["counts"] == []


def test_pictures_of_different_sizes_share_one_field() -> None:
    model = ring_model(3, 30, 20)
    model.images[0].points[:] = (SIZE[0] - 1, SIZE[1] - 1)
    assert residuals.density(residuals.observations(model).place)[-1, -1] >= 20


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("registered>=0.95", True),
        ("registered >= 95%", True),
        ("reprojection<0.5", False),
        ("reprojection<=5e-1", True),
        ("models==1", True),
        ("gps_median<10", False),
    ],
)
def test_checks(text: str, holds: bool) -> None:
    figures = {"registered": 0.95, "reprojection": 0.5, "models": 1, "gps_median": None}
    assert parse_condition(text, FIGURES).holds(figures) == holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("registered", "write a figure"),
        ("registred>1", "did you mean 'registered'"),
        ("registered>x", "write a figure"),
    ],
)
def test_wrong_checks(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_condition(text, FIGURES)


def test_infinite_options_are_words() -> None:
    inputs = inputs_of(2, [], [])
    inputs.run["options"] = {"pairing": {"distance": float("inf"), "nested": [float("nan")]}}
    assert _data(inputs)["run"]["options"]["pairing"] == {"distance": "inf", "nested": ["nan"]}


def test_no_pairs() -> None:
    inputs = inputs_of(2, [], [])
    inputs.pairs = Pairs.none()
    assert _data(inputs)["pairs"]["image0"] == []
