"""Keypoints of a features file as target: where they lie in the crops, and which are left out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from xfeat_cli.errors import UsageError
from xfeat_cli.model.network import CELL
from xfeat_cli.synthesis.light import Light
from xfeat_cli.training.config import KeypointTarget, LossWeights, Part, TrainConfig
from xfeat_cli.training.corners import corner_probabilities
from xfeat_cli.training.given_keypoints import (
    GivenKeypoints,
    KeypointLabels,
    _draw,
    draw_labelled,
    masses_of,
    read_keypoints,
)
from xfeat_cli.training.photos import Kept, Photos, load_kept
from xfeat_cli.training.step import Guides, Model, compute_losses, draw_batch

VIEW = (64, 96)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(path: Path, **keypoints: np.ndarray) -> Path:
    """A features file with scores 1, 2, 3 …, of images of 240x176 px."""
    with h5py.File(path, "w") as file:
        for name, points in keypoints.items():
            file[f"{name}.png/keypoints"] = points.astype(np.float32)
            file[f"{name}.png/descriptors"] = np.zeros((64, len(points)), np.float32)
            file[f"{name}.png/scores"] = np.arange(1, len(points) + 1, dtype=np.float32)
            file[f"{name}.png/image_size"] = np.array([240, 176])
    return path


@pytest.mark.parametrize("axis", [0, 1])
def test_a_keypoint_lies_where_the_photograph_shows_it(axis: int) -> None:
    ramp = torch.arange(250, dtype=torch.uint8)
    photo = ramp[None].expand(200, 250) if axis == 0 else ramp[:200, None].expand(200, 250)
    point = torch.tensor([[120.3, 99.6]])
    labels = KeypointLabels(Photos([photo]), [GivenKeypoints(point, torch.tensor([0.8]))])
    y, x = torch.meshgrid(torch.arange(float(VIEW[0])), torch.arange(float(VIEW[1])), indexing="ij")
    seen = 0
    for seed in range(40):
        crop, heat = _draw(generator(seed), labels, VIEW)
        assert crop.shape == heat.shape == VIEW
        if heat.sum() < 0.79:  # cut by the edge, or outside
            continue
        seen += 1
        at = (heat * x).sum() / heat.sum(), (heat * y).sum() / heat.sum()
        left, top = int(at[0]), int(at[1])
        if not (3 < left < VIEW[1] - 4 and 3 < top < VIEW[0] - 4):
            continue  # the ramp ends there
        du, dv = at[0] - left, at[1] - top
        around = 255 * crop[top : top + 2, left : left + 2]
        gray = torch.stack([1 - dv, dv]) @ around @ torch.stack([1 - du, du])
        assert gray.item() == pytest.approx(point[0, axis].item(), abs=0.1)
    assert seen > 10


def test_masses_keep_the_order_of_the_scores() -> None:
    masses = masses_of(torch.tensor([4.0, 1.0, 2.0, 100.0, 0.0]))
    torch.testing.assert_close(masses, 1 - 0.5 ** torch.tensor([2.0, 0.5, 1.0, 50.0, 0.0]))


def test_only_the_best_stay_where_a_photograph_is_crowded() -> None:
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(250.0), indexing="ij")
    every = torch.stack([x, y], -1).view(-1, 2)
    labels = KeypointLabels(
        Photos([torch.zeros(200, 250, dtype=torch.uint8)]), [GivenKeypoints(every, torch.full((len(every),), 0.5))]
    )
    crops = draw_labelled(generator(), labels, 3, VIEW, Light())
    assert crops.image.shape == (3, 1, *VIEW)
    assert crops.target.shape == (3, 65, VIEW[0] // CELL, VIEW[1] // CELL)
    torch.testing.assert_close(crops.target.sum(1), torch.ones(3, VIEW[0] // CELL, VIEW[1] // CELL))
    keypoints = crops.target[:, :-1].sum((1, 2, 3))
    assert (keypoints <= 0.5 * VIEW[0] * VIEW[1] / 110 + 0.01).all()


def test_photographs_and_entries_are_brought_together(tmp_path: Path, photos_folder: Path) -> None:
    stored = load_kept([photos_folder], 0, 100, 0, print)
    kept = {name: Kept(photo.pixels[::2, ::2], photo.size, photo.shown) for name, photo in stored.items()}
    points = np.array([[10.5, 20.5], [30.0, 40.0]])
    path = features(tmp_path / "features.h5", **{"0": points, "3": points, "gone": points, "4": np.zeros((0, 2))})
    notes: list[str] = []
    labels = read_keypoints(path, [photos_folder], kept, notes.append)
    assert len(labels.photos) == 2
    torch.testing.assert_close(labels.keypoints[0].points, torch.tensor([[5.0, 10.0], [14.75, 19.75]]))
    assert "8 of 10 photographs do not teach keypoints" in notes[0]
    with pytest.raises(UsageError, match="none of the photographs"):
        read_keypoints(features(tmp_path / "other.h5", other=points), [photos_folder], kept, print)
    larger = {name: Kept(photo.pixels, (480, 352), (480, 352)) for name, photo in kept.items()}
    with pytest.raises(UsageError, match="none of the photographs"):
        read_keypoints(path, [photos_folder], larger, notes.append)
    assert "3 of them at another size" in notes[-1]


def test_the_head_learns_them(tmp_path: Path, photos_folder: Path) -> None:
    kept = load_kept([photos_folder], 0, 100, 0, print)
    path = features(tmp_path / "features.h5", **{str(i): np.array([[60.0, 50.0], [120.5, 90.0]]) for i in range(10)})
    labels = read_keypoints(path, [photos_folder], kept, print)
    config = TrainConfig(
        keypoint_target=path, parts=(Part.KEYPOINTS,), losses=LossWeights(localisation=0), teachers=("any",)
    )
    assert config.keypoint_target == path
    assert TrainConfig(keypoint_target="head").keypoint_target is KeypointTarget.HEAD  # type: ignore[arg-type]
    photos = [photo.pixels for photo in kept.values()]
    batch = draw_batch(generator(1), photos, None, 2, (96, 64), config, labels)
    assert batch.labelled is not None
    assert len(batch.labelled.image) == 4
    torch.manual_seed(0)
    model = Model()
    model.learn_only(config.parts)
    head = torch.optim.Adam(model.network.keypoint_head.parameters(), 0.01)
    history = []
    for _ in range(15):
        loss = compute_losses(generator(2), model, Guides(corner_probabilities), batch, config)["keypoint"]
        loss.backward()  # type: ignore[no-untyped-call]
        head.step()
        head.zero_grad()
        history.append(loss.item())
    assert history[-1] < 0.6 * history[0]
