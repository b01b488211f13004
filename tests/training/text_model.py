"""A COLMAP model, written as text."""

from __future__ import annotations

from pathlib import Path

Observations = dict[str, dict[int, tuple[float, float]]]
"""Image → point → (x, y), (0, 0) at the centre of the top-left pixel."""


def write_model(folder: Path, size: tuple[int, int], observations: Observations) -> Path:
    """A COLMAP model in text, whose poses and points mean nothing."""
    folder.mkdir()
    images: list[str] = []
    tracks: dict[int, list[str]] = {}
    for number, (name, seen) in enumerate(observations.items(), 1):
        images.append(f"{number} 1 0 0 0 0 0 0 1 {name}")
        images.append(" ".join(f"{x + 0.5} {y + 0.5} {point}" for point, (x, y) in seen.items()))
        for index, point in enumerate(seen):
            tracks.setdefault(point, []).append(f"{number} {index}")
    points = [f"{point} 0 0 1 0 0 0 0 {' '.join(track)}" for point, track in tracks.items()]
    (folder / "cameras.txt").write_text(f"1 SIMPLE_PINHOLE {size[0]} {size[1]} 200 100 100\n")
    (folder / "images.txt").write_text("\n".join(images) + "\n")
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")
    return folder
