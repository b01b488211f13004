"""What several tests need: the shared files where there are any, the shipped weights loaded, a photograph."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the images are small: threads would only wait for one another

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference results and weights that lies beside the repository on the project's machines."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"{SHARED} is not here: it holds the reference results")
    return SHARED


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A rendered view (176, 240, 3) uint8. Not to be written to."""
    from xfeat_cli.demo import arc, build_scene, render_view

    size = (240, 176)
    image, _ = render_view(build_scene(size), arc(4, size, seed=0)[0])
    image.setflags(write=False)
    return image
