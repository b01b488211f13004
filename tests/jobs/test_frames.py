"""Frames of a video that pans over a rendered view: 2 px a frame, a second at rest, and frames that are blurred."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from xfeat_cli.demo import arc, build_scene, render_view
from xfeat_cli.errors import UsageError, VideoError
from xfeat_cli.jobs.frames import TABLE, extract_frames
from xfeat_cli.video import duration, frames

av = pytest.importorskip("av", reason="videos need the extra [video]")

WIDTH, HEIGHT = 256, 192
AT_REST = range(60, 90)


def _is_blurred(number: int) -> bool:
    return number % 5 in (1, 2)


def _left(number: int) -> int:
    """Where frame `number` begins in the view, px."""
    return 2 * (min(number, AT_REST.start) + max(0, number - AT_REST.stop))


def encode(path: Path, pictures: list[np.ndarray], rate: int = 30, rotation: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 20_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = (640, 426)
    view = render_view(build_scene(size), arc(4, size, seed=0)[1])[0][..., ::-1]
    pictures = []
    for number in range(180):
        picture = view[120 : 120 + HEIGHT, _left(number) : _left(number) + WIDTH]
        pictures.append(cv2.GaussianBlur(picture, (0, 0), 3) if _is_blurred(number) else picture)
    return encode(tmp_path_factory.mktemp("video") / "pan.mp4", pictures)


def test_frames_are_sharp_and_show_something_new(pan: Path, tmp_path: Path) -> None:
    summary = extract_frames(pan, tmp_path / "frames", device="cpu")
    numbers = [frame.frame for frame in summary.frames]
    assert numbers == sorted(numbers)
    assert not any(map(_is_blurred, numbers))
    steps = np.diff([_left(number) for number in numbers])
    assert (steps[:-1] >= 0.02 * WIDTH).all()
    assert (steps <= 0.12 * WIDTH).all()
    assert _left(numbers[0]) < 0.05 * WIDTH
    assert _left(179) - _left(numbers[-1]) < 0.1 * WIDTH
    assert sum(number in AT_REST for number in numbers) <= 1


def test_files_names_and_times(pan: Path, tmp_path: Path) -> None:
    summary = extract_frames(pan, tmp_path / "frames", fps=2, device="cpu")
    names = [frame.name for frame in summary.frames]
    assert names == sorted(names)
    assert names == [f"pan_{frame.frame:06d}.jpg" for frame in summary.frames]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == sorted([TABLE, *names])
    assert len(names) == 12
    assert [int(frame.seconds * 2 + 1e-6) for frame in summary.frames] == list(range(12))
    assert not any(_is_blurred(frame.frame) for frame in summary.frames)
    assert all(frame.seconds == pytest.approx(frame.frame / 30, abs=1e-6) for frame in summary.frames)
    lines = (tmp_path / "frames" / TABLE).read_text().splitlines()
    rows = [*csv.DictReader(lines[1:])]
    assert [(row["name"], int(row["frame"]), float(row["seconds"])) for row in rows] == [
        (frame.name, frame.frame, pytest.approx(frame.seconds, abs=1e-6)) for frame in summary.frames
    ]
    picture = cv2.imread(str(tmp_path / "frames" / names[3]))
    decoded = [*frames(pan)][summary.frames[3].frame].pixels()[..., ::-1]
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(picture.astype(int) - decoded).mean() < 3


def test_at_most_so_many_from_the_first_to_the_last(pan: Path, tmp_path: Path) -> None:
    every = extract_frames(pan, tmp_path / "all", fps=5, device="cpu").frames
    some = extract_frames(pan, tmp_path / "some", fps=5, max_frames=4, device="cpu").frames
    assert len(some) == 4
    assert (some[0], some[-1]) == (every[0], every[-1])
    assert {frame.name for frame in some} <= {frame.name for frame in every}


def test_the_same_again_does_nothing_and_a_lost_frame_comes_back(pan: Path, tmp_path: Path) -> None:
    first = extract_frames(pan, tmp_path / "frames", fps=2, device="cpu")
    assert not first.reused
    again = extract_frames(pan, tmp_path / "frames", fps=2, device="cpu")
    assert again.reused
    assert [frame.name for frame in again.frames] == [frame.name for frame in first.frames]
    lost = tmp_path / "frames" / first.frames[2].name
    content = lost.read_bytes()
    lost.unlink()
    assert not extract_frames(pan, tmp_path / "frames", fps=2, device="cpu").reused
    assert lost.read_bytes() == content


def test_frames_of_another_run_are_replaced_only_on_request_and_nothing_else_ever(pan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    extract_frames(pan, folder, fps=2, device="cpu")
    with pytest.raises(UsageError, match="overwrite=True"):
        extract_frames(pan, folder, fps=3, device="cpu")
    (folder / "mine.txt").write_text("mine")
    extract_frames(pan, folder, fps=1, device="cpu", overwrite=True)
    assert len([*folder.glob("*.jpg")]) == 6
    assert (folder / "mine.txt").read_text() == "mine"
    for overwrite in (False, True):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "photo.jpg").write_bytes(b"photo")
        with pytest.raises(UsageError, match="other files"):
            extract_frames(pan, tmp_path / "other", device="cpu", overwrite=overwrite)
    assert (tmp_path / "other" / "photo.jpg").read_bytes() == b"photo"


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_turned_as_the_video_asks(tmp_path: Path, degrees: int) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255
    (frame,) = frames(encode(tmp_path / "a.mp4", [picture], rotation=degrees))
    expected = np.rot90(picture, degrees // 90)
    assert frame.pixels().shape == expected.shape
    assert np.abs(frame.pixels().astype(int) - expected).mean() < 8
    assert frame.gray(32).shape == (expected.shape[0] // 2, expected.shape[1] // 2)


def test_a_cut_begins_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scenes = [cv2.resize(rng.integers(0, 255, (24, 32, 3), np.uint8), (320, 240)) for _ in range(3)]
    video = encode(tmp_path / "cuts.mp4", [scene for scene in scenes for _ in range(20)])
    summary = extract_frames(video, tmp_path / "frames", device="cpu")
    assert [frame.frame // 20 for frame in summary.frames] == [0, 1, 2]


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 99)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n")
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    (tmp_path / "empty.mp4").touch()
    for name in ("a.mp4", "list.m3u8", "concat.mp4", "empty.mp4", "none.mp4"):
        with pytest.raises(VideoError, match=name) as error:
            extract_frames(tmp_path / name, tmp_path / "frames", device="cpu")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "frames").exists()


def test_a_truncated_video_gives_what_is_whole(pan: Path, tmp_path: Path) -> None:
    pictures = [np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8) for i in range(20)]
    data = encode(tmp_path / "a.mkv", pictures).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    assert 0 < len([*frames(tmp_path / "cut.mkv")]) < 20
    assert duration(pan) == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("options", [{"fps": 0}, {"fps": float("nan")}, {"max_frames": 1}])
def test_odd_options_are_refused(pan: Path, tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        extract_frames(pan, tmp_path / "frames", device="cpu", **options)
