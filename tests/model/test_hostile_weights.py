"""Weights files made to mislead: one clear error each, in bounded memory."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from xfeat_cli.errors import WeightsError
from xfeat_cli.model import weights


def _with_header(path: Path, change: object) -> Path:
    data = weights.locate("default").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = change
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + data[8 + size :])
    return path


def test_no_metadata_are_no_error(tmp_path: Path) -> None:
    about = weights.describe(str(_with_header(tmp_path / "w.safetensors", None)))
    assert about.metadata == {}
    assert about.min_cossim == weights.RELEASED_MIN_COSSIM


@pytest.mark.parametrize("metadata", [[], 3, {"min_cossim": 3}, {"min_cossim": "nan"}, {"refiner_labels": "x"}])
def test_metadata_of_another_kind_are_one_error(tmp_path: Path, metadata: object) -> None:
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        weights.describe(str(_with_header(tmp_path / "w.safetensors", metadata)))


def test_a_compressed_archive_is_never_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02]" + bytes(50_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match="compressed zip archive"):
        weights.describe(str(path))
    path.write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(WeightsError, match="damaged zip archive"):
        weights.describe(str(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_numbers_that_would_overflow_are_named(tmp_path: Path, value: float) -> None:
    state = dict(weights.load("default").state)
    name = next(iter(state))
    state[name] = torch.full_like(state[name], value)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (tmp_path / "w.pt").write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError, match=f"beyond all measure: {name}"):
        weights.load(str(tmp_path / "w.pt"))


def test_names_with_control_characters_are_shown_escaped(tmp_path: Path) -> None:
    state = {"\x1b[31m\nred": torch.zeros(1), **weights.load("default").state}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (tmp_path / "w.pt").write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError) as error:
        weights.load(str(tmp_path / "w.pt"))
    assert "\\x1b[31m\\nred" in str(error.value)
    assert "\n" not in str(error.value)
