"""Kills jobs at random moments and runs them again until they end, many times over: a program, run by a test.

Everything is imported once and each job runs in a fork, so that a kill costs milliseconds. After each job has ended its
result is compared with that of a job that nobody disturbed. Prints a line of JSON: kills and faults of each command.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np

from xfeat_cli import extract, match
from xfeat_cli.jobs.aggregate import aggregate
from xfeat_cli.pairing.lists import exhaustive, write_pairs

IMAGES = 8


def entries(path: Path) -> dict[str, bytes]:
    found = {}
    with h5py.File(path) as h5:

        def visit(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item[()].tobytes() + repr(sorted(item.parent.attrs.items())).encode()

        h5.visititems(visit)
    return found


def forked(job: Callable[[], object]) -> int:
    """Start a job in a process of its own."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            job()
            code = 0
        finally:
            os._exit(code)
    return process


def run_to_the_end(job: Callable[[], object]) -> None:
    assert os.waitpid(forked(job), 0)[1] == 0


def disturbed(job: Callable[[], object], rng: random.Random, seconds: float) -> int:
    """Run a job until it ends by itself, killing it at random moments; returns how often."""
    kills = 0
    while True:
        process = forked(job)
        time.sleep(rng.uniform(0, 1.2 * seconds))
        os.kill(process, signal.SIGKILL)
        if os.waitpid(process, 0)[1] == 0:
            return kills
        kills += 1
        if kills % 20 == 0:
            run_to_the_end(job)
            return kills


def main(kills: int) -> None:
    report: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        images.mkdir()
        for i in range(IMAGES):
            noise = np.random.default_rng(i // 2).integers(0, 255, (30 + i % 2, 40), np.uint8)
            cv2.imwrite(str(images / f"{i}.png"), cv2.resize(noise, (200, 160), interpolation=cv2.INTER_CUBIC))
        pairs = folder / "pairs.txt"
        listed = list(exhaustive([f"{i}.png" for i in range(IMAGES)]))
        write_pairs(pairs, listed)
        sound = {"dense.h5": {"mode": "semi-dense", "top_k": 200}, "f.h5": {"top_k": 200}}
        for file, options in sound.items():
            run_to_the_end(lambda f=file, o=options: extract(images, folder / f, workers=1, device="cpu", **o))  # type: ignore[misc]
        run_to_the_end(lambda: match(pairs, folder / "dense.h5", folder / "points.h5", device="cpu"))
        jobs: dict[str, tuple[Callable[[Path], object], Callable[[Path], dict[str, bytes]]]] = {
            "extract": (lambda out: extract(images, out, workers=1, device="cpu", top_k=200), entries),
            "match": (lambda out: match(pairs, folder / "f.h5", out, device="cpu"), entries),
            "aggregate": (
                lambda out: aggregate(folder / "points.h5", folder / "dense.h5", out.with_name(f"k-{out.name}"), out),
                lambda out: {**entries(out), **entries(out.with_name(f"k-{out.name}"))},
            ),
            "pairs": (lambda out: write_pairs(out, listed), lambda out: {"": out.read_bytes()}),
        }
        for command, (job, content) in jobs.items():
            rng, faults, done = random.Random(command), [], 0
            whole = folder / f"{command}-whole"
            started = time.monotonic()
            run_to_the_end(lambda j=job, w=whole: j(w))  # type: ignore[misc]
            seconds = time.monotonic() - started
            rounds = 0
            while done < kills and rounds < 4 * kills:
                out = folder / f"{command}-{rounds}"
                rounds += 1
                done += disturbed(lambda j=job, o=out: j(o), rng, seconds)  # type: ignore[misc]
                if content(out) != content(whole):
                    faults.append(f"round {rounds}: another result")
                if list(folder.glob(f"*{out.name}.partial*")):
                    faults.append(f"round {rounds}: something left")
                for leftover in folder.glob(f"*{command}-{rounds - 1}*"):
                    leftover.unlink()
            report[command] = {"kills": done, "rounds": rounds, "faults": faults}
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]))
