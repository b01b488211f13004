"""Reads mutated inputs of all kinds, one after another, under limits of time and memory: a program, run by a test.

Prints a line of JSON: how many were read of each kind, and every one that raised anything but an error for the user. A
seed that takes 20 s of CPU, or 1.5 GB, ends the program, with that seed as the last line of its log.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from xfeat_cli.cameras import load_cameras
from xfeat_cli.errors import XFeatError
from xfeat_cli.images import ImageFile, read_photo
from xfeat_cli.inspection import inspect_file
from xfeat_cli.pairing.lists import read_pairs
from xfeat_cli.pairing.positions import read_positions
from xfeat_cli.store.layout import features_entry, matches_entry, point_matches_entry
from xfeat_cli.store.reader import FeaturesReader, MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features, Matches, PointMatches

MOST_CPU_SECONDS, MOST_MEMORY = 20, 1_500_000_000


def _photo(path: Path) -> None:
    read_photo(ImageFile(path.name, path), 320)


def _features(path: Path) -> None:
    inspect_file(path)
    with FeaturesReader(path) as reader:
        for name in reader.names():
            try:
                reader.load(name)
                reader.entry_attributes(name)
            except XFeatError:
                continue


def _matches(path: Path) -> None:
    inspect_file(path)
    with MatchesReader(path) as reader:
        for entry in reader.names():
            if entry.count("/") == 1:
                try:
                    reader.load(*entry.split("/"))
                except XFeatError:
                    continue


def _samples(folder: Path) -> list[tuple[Path, Callable[[Path], object]]]:
    """A sound file of each kind, with what reads it."""
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (160, 120))
    samples: list[tuple[Path, Callable[[Path], object]]] = []
    for suffix, options in (
        *(("jpg", {}), ("png", {}), ("tif", {"compression": "tiff_lzw"}), ("webp", {}), ("bmp", {}), ("gif", {})),
        *(("jp2", {}), ("avif", {}), ("ppm", {})),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(
            buffer, {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix), **options
        )
        (folder / f"a.{suffix}").write_bytes(buffer.getvalue())
        samples.append((folder / f"a.{suffix}", _photo))
    n = 60
    points = rng.uniform(0, 100, (n, 2)).astype(np.float32)
    scores = np.ones(n, np.float32)
    one = Features(points, scores, rng.normal(size=(n, 64)).astype(np.float32), (160, 120))
    index = Matches(np.stack([np.arange(n)] * 2, 1).astype(np.int32), scores)
    for name, kind, entry, keys in (
        ("f.h5", "features", features_entry(one), ("a.jpg", "b/c.jpg")),
        ("m.h5", "matches", matches_entry(index, n), ("a.jpg/b.jpg", "a.jpg/c.jpg")),
        ("s.h5", "semi-dense matches", point_matches_entry(PointMatches(points, points, scores)), ("a.jpg/b.jpg",)),
    ):
        with Store.open(folder / name, kind, {"top_k": 3, "weights": "text"}) as store:
            for key in keys:
                store.put(key, entry, {"image_digest": "abc"})
            store.finish()
        samples.append((folder / name, _features if kind == "features" else _matches))
    camera = {"K": np.diag([9, 9, 1]).tolist(), "R": np.eye(3).tolist(), "t": [0, 0, 1], "size": [9, 9]}
    texts = {
        "p.txt": ("a.jpg b.jpg\nb c.jpg\td.jpg\n# comment\n", read_pairs),
        "c.csv": ("name,latitude,longitude,altitude\na,47,8,400\nb,47.1,8.1,\n", read_positions),
        "c.json": (json.dumps({"a": camera}), load_cameras),
    }
    for name, (text, read) in texts.items():
        (folder / name).write_text(text)
        samples.append((folder / name, read))
    return samples


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut, doubled or put elsewhere."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at, length = int(rng.integers(len(changed) or 1)), int(rng.integers(1, 17))
        kind = rng.integers(5)
        if kind == 0:
            changed[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        elif kind == 1:
            changed[at : at + 8] = int(rng.choice([0, 1, 255, 2**31 - 1, 2**32 - 1, 2**63])).to_bytes(8, "little")
        elif kind == 2 and rng.random() < 0.3:
            del changed[at:]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        else:
            changed[at : at + 1] = bytes([int(rng.integers(256))])
    return bytes(changed)


def _peak_memory() -> int:
    """Most bytes that this program has held. What the system counts for a process includes the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(first: int, count: int) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    read, faults = Counter[str](), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = _samples(folder)
        for seed in range(first, first + count):
            path, reader = samples[seed % len(samples)]
            target = folder / f"mutated{path.suffix}"
            target.write_bytes(mutated(path.read_bytes(), np.random.default_rng(seed)))
            print(f"seed {seed} {path.suffix}", file=sys.stderr, flush=True)
            signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_SECONDS)
            try:
                reader(target)
            except XFeatError as error:
                if "\n" in str(error):
                    faults.append(f"seed {seed} {path.suffix}: several lines")
            except Exception as error:
                faults.append(f"seed {seed} {path.suffix}: {error!r}")
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            read[path.suffix] += 1
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    memory = _peak_memory()
    if memory > MOST_MEMORY:
        faults.append(f"{memory / 1e9:.1f} GB")
    print(json.dumps({"read": read, "faults": faults, "memory_gb": round(memory / 1e9, 2)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
