"""Real pairs: where their correspondences lie, to a fraction of a pixel, and what is learned from them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xfeat_cli.coordinates import pixel_to_grid
from xfeat_cli.errors import SfmError, UsageError
from xfeat_cli.model.decode import prepare
from xfeat_cli.model.network import CELL
from xfeat_cli.pairing.models import covisible_pairs
from xfeat_cli.sfm.tracks import read_views
from xfeat_cli.synthesis.light import Light
from xfeat_cli.training import losses
from xfeat_cli.training.config import Part, TrainConfig
from xfeat_cli.training.corners import corner_probabilities
from xfeat_cli.training.losses import Correspondences
from xfeat_cli.training.optimizer import optimizers
from xfeat_cli.training.photos import load_photos
from xfeat_cli.training.real_pairs import draw_real_pairs, thinned
from xfeat_cli.training.sources import MIN_SHARED, components, match_source, model_sources
from xfeat_cli.training.step import Guides, Model, compute_losses, draw_batch, total
from xfeat_cli.training.tracks import Tracks, load_tracks

from .text_model import write_model

pytest.importorskip("pycolmap", reason="models need the extra [sfm]")

VIEW = (64, 96)
KEPT = (250, 200)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tracks_of(model: Path, images: Path, most: int = 100, without: tuple[Path, ...] = ()) -> tuple[Tracks, list[str]]:
    """Tracks and what was noted."""
    notes: list[str] = []
    return load_tracks(model_sources(model, images), max(KEPT), most, 0, set(without), notes.append), notes


@pytest.fixture
def tracks(model_folder: Path, photos_folder: Path) -> Tracks:
    return tracks_of(model_folder, photos_folder)[0]


def test_observations_are_pixels_of_the_stored_image(tmp_path: Path) -> None:
    model = write_model(tmp_path / "0", (40, 30), {"b.png": {7: (3.0, 4.25), 5: (0.0, 1.0)}, "a.png": {7: (9.5, 2.0)}})
    one, two = read_views(model)
    assert (one.name, two.name, two.size) == ("a.png", "b.png", (40, 30))
    assert two.ids.tolist() == [5, 7]
    assert two.points.tolist() == [[0.0, 1.0], [3.0, 4.25]]


def test_covisible_pairs_are_those_that_share_enough() -> None:
    random = np.random.default_rng(0)
    seen = [np.sort(random.permutation(60)[: random.integers(0, 50)]) for _ in range(12)]
    expected = [[i, j] for i, j in combinations(range(12), 2) if len(np.intersect1d(seen[i], seen[j])) >= 15]
    assert 5 < len(expected) < 60
    assert sorted(covisible_pairs(seen, 15).tolist()) == expected
    assert len(covisible_pairs([], 15)) == 0


def ramps(folder: Path, axis: int, shift: float) -> Tracks:
    """Two photographs of twice KEPT whose gray, when they are kept, is each pixel's coordinate along an axis; and
    points that lie on a lattice in the first and `shift` kept pixels further in the second."""
    folder.mkdir()
    along = np.arange(2 * KEPT[axis]) // 2
    gray = np.broadcast_to(along if axis == 0 else along[:, None], (2 * KEPT[1], 2 * KEPT[0])).astype(np.uint8)
    names = ("a.png", "b.png")
    for name in names:
        cv2.imwrite(str(folder / name), gray)
    lattice = np.stack(np.meshgrid(np.arange(12.25, 235, 7), np.arange(12.25, 185, 7)), -1).reshape(-1, 2)
    stored = [(places + 0.5) * 2 - 0.5 for places in (lattice, lattice + shift)]
    observations = [{i: (float(x), float(y)) for i, (x, y) in enumerate(places, 1)} for places in stored]
    model = write_model(folder / "model", (2 * KEPT[0], 2 * KEPT[1]), dict(zip(names, observations, strict=True)))
    return tracks_of(model, folder)[0]


def gray_at(images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(B, N) bilinear gray, 0 to 255."""
    x, y = points.unbind(-1)
    grid = torch.stack([pixel_to_grid(x, images.shape[3]), pixel_to_grid(y, images.shape[2])], -1)
    return 255 * F.grid_sample(images, grid[:, None], align_corners=False)[:, 0, 0]


@pytest.mark.parametrize("axis", [0, 1])
def test_correspondences_lie_where_the_model_saw_the_point(tmp_path: Path, axis: int) -> None:
    found = ramps(tmp_path / "ramps", axis, shift=3.3)
    real = draw_real_pairs(generator(axis), found, 24, VIEW, 40, Light())
    points = real.chosen
    sides = torch.tensor(VIEW[::-1])
    inner = points.valid
    for places in (points.points0, points.points1):  # a ramp ends with the crop, so its last pixels are off it
        inner = inner & ((places > 3) & (places < sides - 4)).all(-1)
    assert inner.sum() > 300
    gray0, gray1 = gray_at(real.clean0, points.points0)[inner], gray_at(real.clean1, points.points1)[inner]
    for gray, first in ((gray0, 12.25), (gray1, 12.25 + 3.3)):
        off_lattice = (gray - first + 3.5) % 7 - 3.5
        assert off_lattice.abs().max() < 0.1  # torch's reduction itself moves a ramp by so much
        assert off_lattice.mean().abs() < 0.005
    assert (gray1 - gray0 - 3.3).abs().max() < 0.12


def test_photographs_that_a_decoder_reduced_keep_their_points(tmp_path: Path) -> None:
    along = np.arange(1003) // 4
    gray = np.broadcast_to(along, (803, 1003)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), gray, [cv2.IMWRITE_JPEG_QUALITY, 100])
    cv2.imwrite(str(tmp_path / "b.jpg"), gray, [cv2.IMWRITE_JPEG_QUALITY, 100])
    stored = {i: (20.0 + 23 * (i % 40), 30.0 + 40 * (i // 40)) for i in range(1, 600)}
    found, _ = tracks_of(write_model(tmp_path / "0", (1003, 803), {"a.jpg": stored, "b.jpg": stored}), tmp_path)
    assert found.photos[0].shape == (200, 250)  # of 1000 x 800 px: the last three columns and rows are dropped
    _, _, points = found[0]
    torch.testing.assert_close(points[:, 0], (torch.tensor([stored[i][0] for i in stored]) + 0.5) / 4 - 0.5)


def test_points_of_a_pair_stand_apart_and_in_both_crops(tracks: Tracks) -> None:
    real = draw_real_pairs(generator(), tracks, 12, VIEW, 50, Light())
    assert real.chosen.valid.sum(1).min() >= 5
    assert not torch.equal(real.image0, real.clean0)
    for points0, points1, valid in zip(real.chosen.points0, real.chosen.points1, real.chosen.valid, strict=True):
        for points in (points0[valid], points1[valid]):
            assert (points >= -0.5).all()
            assert (points <= torch.tensor(VIEW[::-1]) - 0.5).all()
            assert torch.cdist(points, points).fill_diagonal_(99).min() >= CELL


def test_of_points_too_near_each_other_the_first_stays() -> None:
    points = torch.tensor([[0.0, 0, 50, 50], [3, 0, 90, 50], [40, 0, 90, 53], [80, 0, 0, 0]])
    assert thinned(points, torch.tensor([0.1, 0.9, 0.5, 0.2]), 8).tolist() == [False, True, False, True]


def test_the_same_step_draws_the_same_pairs(tracks: Tracks) -> None:
    one, two, other = (draw_real_pairs(generator(seed), tracks, 2, VIEW, 50, Light()) for seed in (3, 3, 4))
    assert torch.equal(one.image0, two.image0)
    assert torch.equal(one.chosen.points1, two.chosen.points1)
    assert not torch.equal(one.image0, other.image0)


def test_pairs_of_one_scene_do_not_compete() -> None:
    features = torch.randn(3, 64, *(side // CELL for side in VIEW), generator=generator())
    places = torch.rand(3, 9, 2, generator=generator(1)) * 60
    valid = torch.ones(3, 9, dtype=torch.bool)
    valid[1, 5:] = False

    def loss(rows: list[int], scenes: list[int] | None) -> float:
        chosen = Correspondences(
            places[rows], places[rows], valid[rows], None if scenes is None else torch.tensor(scenes)
        )
        return float(losses.descriptor_loss(features[rows], features[rows].flip(0), chosen)[0])

    alone = [
        float(
            losses.descriptor_loss(
                features[i : i + 1],
                features[[2 - i]],
                Correspondences(places[i : i + 1], places[i : i + 1], valid[i : i + 1]),
            )[0]
        )
        for i in range(3)
    ]
    apart = sum(alone) / 3
    assert loss([0, 1, 2], [4, 4, 4]) == pytest.approx(apart, rel=1e-5)
    assert loss([0, 1, 2], [0, 1, 2]) == pytest.approx(loss([0, 1, 2], None), rel=1e-6)
    assert loss([0, 1, 2], None) > apart + 0.1


def test_joined_correspondences_are_padded_and_keep_their_scenes_apart() -> None:
    def some(pairs: int, points: int, scenes: torch.Tensor | None) -> Correspondences:
        places = torch.rand(pairs, points, 2, generator=generator())
        return Correspondences(places, places + 1, torch.ones(pairs, points, dtype=torch.bool), scenes)

    one, other = some(3, 4, None), some(2, 6, torch.zeros(2, dtype=torch.long))
    both = losses.joined(one, other)
    assert both.valid.sum(1).tolist() == [4, 4, 4, 6, 6]
    torch.testing.assert_close(both.points1[:3, :4], one.points1)
    torch.testing.assert_close(both.points0[3:], other.points0)
    assert both.scenes is not None
    assert both.scenes.tolist() == [0, 1, 2, 3, 3]


def test_a_share_of_the_pairs_is_real(photos_folder: Path, tracks: Tracks) -> None:
    photos = list(load_photos([photos_folder], 0, 100, 0, print).values())
    config = TrainConfig(points=20, multi_view_share=0.4)
    drawn = [draw_batch(generator(seed), photos, tracks, 2, VIEW[::-1], config) for seed in range(20)]
    real = [0 if batch.real is None else len(batch.real.image0) for batch in drawn]
    assert {len(batch) for batch in drawn} == {2}
    assert 0.25 < sum(real) / 40 < 0.55
    assert all(batch.pairs is not None and len(batch.pairs.image0) for batch in drawn)
    lonely = [draw_batch(generator(seed), photos, tracks, 1, VIEW[::-1], config) for seed in range(9)]
    assert {0 if batch.pairs is None else len(batch.pairs.image0) for batch in lonely} == {1}
    assert any(batch.real is not None for batch in lonely)


def test_losses_of_real_pairs_fall(photos_folder: Path, tracks: Tracks) -> None:
    torch.manual_seed(0)
    photos = list(load_photos([photos_folder], 0, 100, 0, print).values())
    config = TrainConfig(points=60, multi_view_share=0.5, parts=(Part.NETWORK,))
    batch = draw_batch(generator(1), photos, tracks, 2, (96, 64), config)
    assert batch.real is not None
    model, guides = Model(), Guides(corner_probabilities, [Model().network.eval().requires_grad_(False)])
    model.learn_only(config.parts)
    steppers = optimizers(model.network, model.refiner, 0.02)

    def of_real_pairs() -> float:
        assert batch.real is not None
        with torch.no_grad():
            one, two = (
                model.network.describe(prepare(image[:, 0])) for image in (batch.real.image0, batch.real.image1)
            )
            return float(losses.descriptor_loss(one, two, batch.real.chosen)[0])

    history, before = [], of_real_pairs()
    for _ in range(12):
        found = compute_losses(generator(2), model, guides, batch, config)
        history.append({name: loss.item() for name, loss in found.items()})
        total(found, config).backward()
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
    for name in ("descriptor", "reliability", "teacher"):
        assert history[-1][name] < history[0][name], name
    assert of_real_pairs() < 0.9 * before


def test_held_out_and_surplus_photographs_are_not_learned_from(model_folder: Path, photos_folder: Path) -> None:
    everything, notes = tracks_of(model_folder, photos_folder)
    assert len(everything.photos) == 10
    assert notes == []
    without, _ = tracks_of(model_folder, photos_folder, without=((photos_folder / "3.png").resolve(),))
    left_out = load_photos([photos_folder], max(KEPT), 100, 0, print)[str(photos_folder / "3.png")]
    assert len(without.photos) == 9
    assert any(torch.equal(photo, left_out) for photo in everything.photos)
    assert not any(torch.equal(photo, left_out) for photo in without.photos)
    few, _ = tracks_of(model_folder, photos_folder, most=4)
    assert 2 <= len(few.photos) <= 4
    assert len({everything.digest(), without.digest(), few.digest()}) == 3


def test_photographs_that_do_not_fit_the_model_are_named_and_left_out(tmp_path: Path) -> None:
    gray = np.random.default_rng(0).integers(0, 255, (200, 240)).astype(np.uint8)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), gray)
    cv2.imwrite(str(tmp_path / "resized.png"), gray[:180, :200])
    (tmp_path / "broken.png").write_bytes(b"nothing")
    seen = {i: (5.0 + 9 * (i % 20), 5.0 + 9 * (i // 20)) for i in range(1, 300)}
    names = ("a.png", "b.png", "broken.png", "gone.png", "resized.png")
    found, notes = tracks_of(write_model(tmp_path / "0", (240, 200), dict.fromkeys(names, seen)), tmp_path)
    assert len(found) == 1
    assert len(notes) == 3
    for part in ("1 of the 5 images of", "gone.png", "broken.png", "resized.png is 200x180 px, and 240x200 in"):
        assert any(part in note for note in notes), part


def test_matches_of_any_tool_are_verified(tmp_path: Path) -> None:
    pytest.importorskip("poselib", reason="verification needs the extra [eval]")
    random = np.random.default_rng(0)
    world = random.uniform((-2, -1.5, 4), (2, 1.5, 8), (80, 3))
    places = []
    for angle, side in ((0.0, 0.0), (0.15, 1.0)):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        seen = world @ turn.T - [side, 0, 0]
        places.append((seen[:, :2] / seen[:, 2:] * 200 + [120, 88]).astype(np.float32))
    matched = np.arange(80)
    matched[60:] = np.roll(matched[60:], 7)  # wrong ones
    with h5py.File(tmp_path / "features.h5", "w") as file:
        for name, points in (("b.png", places[1]), ("a.png", places[0]), ("c.png", places[0])):
            file[f"{name}/keypoints"] = points
            file[f"{name}/descriptors"] = np.zeros((64, 80), np.float32)
            file[f"{name}/scores"] = np.ones(80, np.float32)
            file[f"{name}/image_size"] = np.array([240, 176])
    with h5py.File(tmp_path / "matches.h5", "w") as file:
        file["b.png/a.png/matches0"] = np.argsort(matched)
        file["b.png/a.png/matching_scores0"] = np.ones(80, np.float32)
        file["c.png/gone.png/matches0"] = matched
        file["c.png/gone.png/matching_scores0"] = np.ones(80, np.float32)
    notes: list[str] = []
    source = match_source(tmp_path / "features.h5", tmp_path / "matches.h5", tmp_path, notes.append)
    assert [file.path for file in source.files] == [tmp_path / f"{name}.png" for name in "abc"]
    assert source.sizes[0] == (240, 176)
    assert source.pairs.tolist() == [[1, 0]]
    points = source.points(1, 0)
    true = np.column_stack([places[1], places[0]])
    right = (points[:, None] == true[None]).all(-1).any(1)
    assert right.sum() == 60
    assert (~right).sum() <= 3  # a wrong match may lie on its epipolar line
    assert len(notes) == 1
    assert "1 pairs left out" in notes[0]


def test_images_that_matches_join_are_one_scene() -> None:
    pairs = np.array([[0, 1], [2, 3], [4, 1], [5, 3], [6, 7]])
    scenes = components(pairs, 9)
    assert scenes[0] == scenes[2] != scenes[1] == scenes[3]
    assert len(set(scenes.tolist())) == 3


def test_each_model_of_a_folder_is_a_scene(model_folder: Path, photos_folder: Path, tmp_path: Path) -> None:
    for scene in ("one", "two"):
        (tmp_path / "models" / scene / "sparse").mkdir(parents=True)
        (tmp_path / "models" / scene / "sparse" / "0").symlink_to(model_folder)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "two").symlink_to(photos_folder)
    for photo in photos_folder.iterdir():
        (tmp_path / "images" / photo.name).symlink_to(photo)
    sources = model_sources(tmp_path / "models", tmp_path / "images")
    assert [source.files[0].path.parent.name for source in sources] == ["images", "two"]
    found = load_tracks(sources, max(KEPT), 8, 0, set(), print)
    assert len(found.photos) <= 8
    assert set(found.scenes.tolist()) == {0, 1}
    drawn = {int(found.scenes[found.draw(generator(seed))]) for seed in range(12)}
    assert drawn == {0, 1}
    real = draw_real_pairs(generator(1), found, 6, VIEW, 20, Light())
    assert real.chosen.scenes is not None
    assert set(real.chosen.scenes.tolist()) == {0, 1}
    with pytest.raises(UsageError, match="neither a COLMAP model nor a folder of some"):
        model_sources(tmp_path / "images", tmp_path)


def test_a_model_that_teaches_nothing_is_one_clear_error(tmp_path: Path, photos_folder: Path) -> None:
    seen = {i: (5.0 + i, 9.0) for i in range(1, MIN_SHARED)}
    few = write_model(tmp_path / "few", (240, 176), {"1.png": seen, "2.png": seen})
    with pytest.raises(
        UsageError, match=r"nothing to learn from the 2 images of .*few: 2 of them are there, .* give the folder"
    ):
        tracks_of(few, photos_folder)
    with pytest.raises(UsageError, match=r"nothing to learn from the 2 images of .*few: 0 of them"):
        tracks_of(few, tmp_path)
    with pytest.raises(SfmError, match="holds no COLMAP model"):
        read_views(tmp_path)
