"""Digests of stored files: what changes them and what does not."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from xfeat_cli.jobs import fingerprint
from xfeat_cli.store.layout import FEATURES, features_entry
from xfeat_cli.store.reader import FeaturesReader, KeypointsReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Features


def _digests(path: Path, *, top_k: int = 5, digest: str = "1", version: str = "1") -> tuple[str, str]:
    one = np.ones(1, np.float32)
    features = Features(np.zeros((1, 2), np.float32), one, np.ones((1, 64), np.float32), (9, 9))
    with Store.open(path, FEATURES, {"top_k": top_k}, overwrite=True) as store:
        store.put("a.jpg", features_entry(features), {"image_digest": digest})
        store.finish()
    with h5py.File(path, "a") as file:
        file.attrs["xfeat_version"] = version
    with FeaturesReader(path) as whole, KeypointsReader(path) as keypoints:
        return fingerprint.of_options(whole), fingerprint.of_content(keypoints)


def test_options_change_both_images_the_content_and_the_version_none(tmp_path: Path) -> None:
    options, content = _digests(tmp_path / "one.h5")
    assert _digests(tmp_path / "two.h5", version="2") == (options, content)
    other_images = _digests(tmp_path / "two.h5", digest="2")
    assert other_images[0] == options
    assert other_images[1] != content
    other_options = _digests(tmp_path / "two.h5", top_k=6)
    assert other_options[0] != options
    assert other_options[1] != content
