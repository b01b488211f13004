"""Files of every format, checked against the Python path as they are made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from xfeat_cli.config import MatchConfig
from xfeat_cli.errors import ExportError, UsageError
from xfeat_cli.export import check, run
from xfeat_cli.export.config import ExportConfig, Format, Part
from xfeat_cli.export.formats import runners
from xfeat_cli.export.graphs import MatcherGraph
from xfeat_cli.export.run import export_model
from xfeat_cli.xfeat import XFeat

SMALL = ((1, 64, 96), (2, 130, 101), (1, 200, 160))


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "SIZES", SMALL)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported")
    config = ExportConfig(parts=(Part.SPARSE, Part.MATCHER), top_k=500, min_cossim=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "SIZES", SMALL)
        made = export_model(folder / "onnx", config)
    for one in made:
        assert {found.runtime for found in one.agreements} >= {"onnxruntime"}
    return folder / "onnx"


def test_the_card_says_what_goes_in_and_comes_out(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["model.json", "xfeat-matcher.onnx", "xfeat-sparse.onnx"]
    card = json.loads((exported / "model.json").read_text())
    assert (card["opset"], card["top_k"], card["min_cossim"]) == (18, 500, 0.5)
    assert card["graphs"]["sparse"]["outputs"] == ["keypoints", "scores", "descriptors"]
    for graph in card["graphs"].values():
        for found in graph["checked"]:
            assert found["shared"] >= 0.999


def test_the_example_in_python_matches_as_xfeat_does(exported: Path, photograph: np.ndarray, tmp_path: Path) -> None:
    for number, rows in enumerate((slice(0, 160), slice(10, 176))):
        cv2.imwrite(str(tmp_path / f"{number}.png"), photograph[rows])
    example = Path(__file__).resolve().parents[2] / "examples" / "onnx_match.py"
    command = [sys.executable, str(example), str(exported), str(tmp_path / "0.png"), str(tmp_path / "1.png")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found = np.array([line.split() for line in result.stdout.splitlines()], float)
    xfeat = XFeat(top_k=500, precision="fp32", backend="torch")
    one, two = (xfeat.detect(cv2.imread(str(tmp_path / f"{number}.png"))) for number in (0, 1))
    first, second = xfeat.match(one, two, MatchConfig(min_cossim=0.5)).indices.T
    expected = np.column_stack([one.keypoints[first], two.keypoints[second]])
    assert len(expected) > 50
    order, expected_order = np.lexsort(found[:, :2].T), np.lexsort(expected[:, :2].T)
    np.testing.assert_allclose(found[order, :4], expected[expected_order], atol=2e-3)


def test_files_are_not_replaced_unasked(exported: Path) -> None:
    with pytest.raises(UsageError, match=r"xfeat-matcher\.onnx exists; use overwrite=True"):
        export_model(exported, ExportConfig(parts=(Part.MATCHER,)))


def test_torchscript_of_semi_dense_features(tmp_path: Path) -> None:
    config = ExportConfig(Format.TORCHSCRIPT, parts=(Part.DENSE, Part.REFINER), dense_top_k=300)
    dense, refiner = export_model(tmp_path / "new" / "folder", config)
    assert dense.agreements[0].shared >= 0.999
    assert refiner.agreements[0].largest_difference < 1e-4
    [module] = runners(Format.TORCHSCRIPT, tmp_path / "new" / "folder" / "xfeat-dense.pt").values()
    assert [part.shape for part in module([np.zeros((3, 3, 70, 50), np.float32)])] == [
        (3, 300, 2),
        (3, 300),
        (3, 300, 64),
        (3, 300),
    ]


def test_openvino_in_half_precision(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    config = ExportConfig(Format.OPENVINO, parts=(Part.SPARSE,), half=True, top_k=500)
    [sparse] = export_model(tmp_path, config)
    assert sparse.agreements[0].shared > 0.93
    assert (tmp_path / "xfeat-sparse.bin").stat().st_size < 1_600_000


def test_a_file_that_does_not_agree_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(MatcherGraph):
        def forward(self, descriptors0, descriptors1):
            matches, scores = super().forward(descriptors0, descriptors1)
            return torch.zeros_like(matches), scores

    monkeypatch.setattr(run, "MatcherGraph", Wrong)
    with pytest.raises(ExportError, match=r"xfeat-matcher\.pt does not agree with the Python path in torch"):
        export_model(tmp_path, ExportConfig(Format.TORCHSCRIPT, parts=(Part.MATCHER,)))
    assert list(tmp_path.iterdir()) == []


def test_weights_without_a_refiner(tmp_path: Path, shared: Path) -> None:
    official = str(shared / "weights" / "xfeat-official-backbone.pt")
    with pytest.raises(Exception, match="no match refiner"):
        export_model(tmp_path, ExportConfig(Format.TORCHSCRIPT, parts=(Part.DENSE,), weights=official))
    config = ExportConfig(Format.TORCHSCRIPT, weights=official, top_k=300, grids=1)
    assert [one.part for one in export_model(tmp_path, config)] == [Part.SPARSE, Part.MATCHER]


@pytest.mark.parametrize("options", [{"parts": ("all",)}, {"format": "tflite"}, {"top_k": 0}, {"grids": 3}])
def test_options_that_cannot_be(options: dict) -> None:
    with pytest.raises(UsageError):
        ExportConfig(**options)
