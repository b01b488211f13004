from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from xfeat_cli.errors import WeightsError
from xfeat_cli.model import download, weights
from xfeat_cli.model.network import Refiner, XFeatNetwork
from xfeat_cli.model.weights_file import MAX_BYTES

RELEASED = Path(__file__).parents[3] / "shared" / "weights" / "xfeat-official-backbone.pt"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path / "cache"))


@pytest.fixture
def backbone() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return XFeatNetwork().state_dict()


@pytest.fixture
def whole(backbone: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return backbone | Refiner().state_dict()


def _learned(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _assert_same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert state.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in state.items())


def _downloaded(state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a checkpoint where the `official` download lies, and make it the right one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = download.Download("official", "https://example.org/xfeat.pt", blob, "xfeat.pt")
    monkeypatch.setattr(download, "DOWNLOADS", (entry,))
    path = download.cached_path(entry)
    path.parent.mkdir()
    path.write_bytes(data)
    return path


def test_default_is_shipped_and_complete() -> None:
    loaded = weights.load("default")
    assert loaded.info.name == weights.DEFAULT_WEIGHTS
    assert loaded.info.has_refiner
    assert loaded.info.metadata["refiner_labels"] == loaded.info.refiner_labels == "centre"
    assert loaded.info.min_cossim == float(loaded.info.metadata["min_cossim"])
    assert loaded.info.sha256 == hashlib.sha256(loaded.info.path.read_bytes()).hexdigest()
    assert {tensor.dtype for tensor in loaded.state.values()} == {torch.float32}
    assert loaded.info.parameters == sum(p.numel() for m in (XFeatNetwork(), Refiner()) for p in m.parameters())


def test_state_fits_the_modules() -> None:
    state = weights.load("default").state
    refiner = {name: tensor for name, tensor in state.items() if name.startswith("fine_matcher.")}
    for module, part in ((Refiner(), refiner), (XFeatNetwork(), {k: v for k, v in state.items() if k not in refiner})):
        missing, unexpected = module.load_state_dict(part, strict=False)
        assert not unexpected
        assert all(name.endswith("num_batches_tracked") for name in missing)


def test_every_shipped_file_has_its_sha256_in_its_card() -> None:
    shipped = [entry for entry in weights.known() if entry.shipped]
    assert [entry.name for entry in shipped if entry.default] == [weights.DEFAULT_WEIGHTS]
    for entry in shipped:
        assert entry.path
        assert hashlib.sha256(entry.path.read_bytes()).hexdigest() in entry.path.with_suffix(".md").read_text()
        assert weights.verify(entry.name).name == entry.name


def test_official_is_known_but_absent() -> None:
    official = next(entry for entry in weights.known() if entry.name == "official")
    assert official.path is None
    with pytest.raises(WeightsError, match=r"xfeat weights download official"):
        weights.locate("official")


def test_official_once_downloaded(backbone: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    path = _downloaded(backbone, monkeypatch)
    assert next(entry.path for entry in weights.known() if entry.name == "official") == path
    assert weights.load("official").info.name == weights.load(str(path)).info.name == "official"
    assert weights.verify("official").path == path


def test_official_with_another_content_is_refused(
    backbone: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _downloaded(backbone, monkeypatch)
    torch.save({**backbone, "skip1.1.bias": torch.ones(24)}, path)
    for attempt in (lambda: weights.load("official"), lambda: weights.verify(str(path))):
        with pytest.raises(WeightsError, match=r"not the official weights: git blob id .* expected"):
            attempt()


def test_part_of_a_download_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".xfeat.pt.0123.part").write_bytes(b"half")
    with pytest.raises(WeightsError, match="not downloaded"):
        weights.locate("official")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        WeightsError, match=rf"no weights named 'xfeat-stat'; known: .*{weights.DEFAULT_WEIGHTS}.*official"
    ) as caught:
        weights.locate("xfeat-stat")
    assert "xfeat weights download official" in str(caught.value)


def test_first_existing_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, checkout = tmp_path / "shipped_weights", tmp_path / "weights"
    checkout.mkdir()
    (checkout / f"{weights.DEFAULT_WEIGHTS}.safetensors").touch()
    monkeypatch.setattr(weights, "_SHIPPED_FOLDERS", (wheel, checkout))
    assert weights.locate("default").parent == checkout
    shutil.copytree(checkout, wheel)
    assert weights.locate("default").parent == wheel


def test_a_damaged_shipped_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = weights.load("default")
    shutil.copy(original.info.path.with_suffix(".md"), tmp_path)
    state = dict(original.state)
    state["skip1.1.bias"] = state["skip1.1.bias"] + 1
    weights.save(tmp_path / original.info.path.name, state, original.info.metadata)
    monkeypatch.setattr(weights, "_SHIPPED_FOLDERS", (tmp_path,))
    with pytest.raises(WeightsError, match="sha256"):
        weights.verify("default")


@pytest.mark.skipif(not RELEASED.exists(), reason=f"{RELEASED} is not on this machine")
def test_released_checkpoint_loads_unchanged() -> None:
    loaded = weights.load(str(RELEASED))
    _assert_same(loaded.state, _learned(torch.load(RELEASED, weights_only=True)))
    assert loaded.info.name == "xfeat-official-backbone"
    assert (loaded.info.has_refiner, loaded.info.min_cossim, loaded.info.metadata) == (False, 0.82, {})


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PT"])
def test_checkpoint_round_trip(tmp_path: Path, whole: dict[str, torch.Tensor], suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    torch.save(whole, path)
    loaded = weights.load(str(path))
    _assert_same(loaded.state, _learned(whole))
    assert (loaded.info.name, loaded.info.has_refiner) == ("mine", True)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_checkpoint(tmp_path: Path, backbone: dict[str, torch.Tensor], key: str) -> None:
    torch.save({key: backbone, "epoch": 3}, tmp_path / "a.pt")
    _assert_same(weights.load(str(tmp_path / "a.pt")).state, _learned(backbone))


def test_half_precision_becomes_float32(tmp_path: Path, backbone: dict[str, torch.Tensor]) -> None:
    half = {name: tensor.half() for name, tensor in _learned(backbone).items()}
    safetensors.torch.save_file(half, tmp_path / "a.safetensors")
    _assert_same(weights.load(str(tmp_path / "a.safetensors")).state, {k: v.float() for k, v in half.items()})


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


def _as_bare_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("write", [torch.save, _as_bare_pickle])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_malicious_pickle_is_not_executed(
    tmp_path: Path, backbone: dict[str, torch.Tensor], write: Callable[[Any, Path], None], suffix: str
) -> None:
    marker, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    write({**backbone, "x": _Payload(marker)}, path)
    with pytest.raises(WeightsError, match=r"evil.*(never executes|no safetensors file)") as caught:
        weights.load(str(path))
    assert "\n" not in str(caught.value)
    assert not marker.exists()

    path.write_bytes(pickle.dumps(_Payload(marker)))
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the payload is harmless, so this test proves nothing"


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "a.pt")
        with pytest.raises(WeightsError, match=r"a\.pt"):
            weights.load(str(tmp_path / "a.pt"))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "no such weights file"),
        (lambda path: (path.unlink(), path.mkdir()), "a folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "damaged"),
        (lambda path: os.truncate(path, 5), "damaged"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html><html>404</html>"), "damaged"),
        (lambda path: os.truncate(path, MAX_BYTES + 1), "256 MiB"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
    ],
    ids=["missing", "folder", "empty", "truncated", "stub", "html", "huge", "fifo"],
)
def test_damaged_files(
    tmp_path: Path, whole: dict[str, torch.Tensor], suffix: str, damage: Callable[[Path], Any], message: str
) -> None:
    path = tmp_path / f"broken{suffix}"
    if suffix == ".pt":
        torch.save(whole, path)
    else:
        weights.save(path, whole, {})
    weights.load(str(path))
    damage(path)
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"\.safetensors, \.pt, \.pth"):
        weights.load(str(tmp_path / "a.onnx"))


def _renamed(state: dict[str, torch.Tensor]) -> None:
    state["stem.weight"] = state.pop("skip1.1.weight")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("skip1.1.bias"), r"missing: skip1\.1\.bias$"),
        (lambda s: s.pop("fine_matcher.0.bias"), r"missing: fine_matcher\.0\.bias$"),
        (lambda s: s.update({"extra": torch.zeros(1)}), r"unexpected: extra$"),
        (_renamed, r"missing: skip1\.1\.weight; unexpected: stem\.weight$"),
        (
            lambda s: s.update({"skip1.1.bias": torch.zeros(3)}),
            r"wrong shape: skip1\.1\.bias \(3,\) instead of \(24,\)$",
        ),
        (lambda s: s.update({"skip1.1.bias": torch.zeros(24).int()}), r"not floating-point: skip1\.1\.bias$"),
        (lambda s: s["skip1.1.bias"].fill_(torch.nan), r"beyond all measure: skip1\.1\.bias$"),
        (lambda s: s["block1.0.layer.1.running_var"].fill_(torch.inf), r"beyond all measure: block1\.0\.layer\.1\.run"),
        (lambda s: s.clear(), r"missing: skip1\.1\.weight, skip1\.1\.bias, block1\.0\.layer\.0\.weight and \d+ more$"),
    ],
)
def test_wrong_tensors_are_named(
    tmp_path: Path, whole: dict[str, torch.Tensor], change: Callable[[dict[str, torch.Tensor]], Any], message: str
) -> None:
    change(whole)
    torch.save(whole, tmp_path / "a.pt")
    safetensors.torch.save_file(whole, tmp_path / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        with pytest.raises(WeightsError, match=message):
            weights.load(str(tmp_path / name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds a list"),
        ({"epoch": 3}, "plain tensors and are not: epoch"),
        ({"skip1.1.bias": torch.zeros(24, device="meta")}, r"plain tensors and are not: skip1\.1\.bias"),
        ({"skip1.1.bias": torch.zeros(24).to_sparse()}, r"plain tensors and are not: skip1\.1\.bias"),
        ({0: torch.zeros(1)}, "unexpected: 0"),
    ],
)
def test_checkpoints_of_something_else(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=message):
        weights.load(str(tmp_path / "a.pt"))


def test_save_then_load(tmp_path: Path, whole: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "mine.safetensors"
    metadata = {"min_cossim": "-0.5", "recipe": "none"}
    weights.save(path, whole, metadata)
    loaded = weights.load(str(path))
    _assert_same(loaded.state, _learned(whole))
    assert loaded.info.metadata == metadata
    assert loaded.info.min_cossim == -0.5
    assert os.listdir(tmp_path) == [path.name]


def test_half_the_room(tmp_path: Path, whole: dict[str, torch.Tensor]) -> None:
    path, large = tmp_path / "half.safetensors", tmp_path / "large.safetensors"
    weights.save(large, whole, {})
    weights.save(path, whole, {}, half=True)
    assert path.stat().st_size < 0.51 * large.stat().st_size
    loaded = weights.load(str(path)).state
    _assert_same(loaded, {name: tensor.half().float() for name, tensor in _learned(whole).items()})
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    beyond = {**whole, next(iter(whole)): torch.full_like(next(iter(whole.values())), 1e6)}
    with pytest.raises(WeightsError, match="beyond all measure"):
        weights.save(path, beyond, {}, half=True)


def test_saved_file_is_as_readable_as_any_other(tmp_path: Path, backbone: dict[str, torch.Tensor]) -> None:
    weights.save(tmp_path / "a.safetensors", backbone, {})
    (tmp_path / "b").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.safetensors", "b")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("text", ["high", "nan", "1.5", ""])
def test_bad_threshold_in_the_metadata(tmp_path: Path, backbone: dict[str, torch.Tensor], text: str) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(_learned(backbone), path, {"min_cossim": text})
    with pytest.raises(WeightsError, match="min_cossim"):
        weights.load(str(path))
    with pytest.raises(WeightsError, match="min_cossim"):
        weights.save(path, backbone, {"min_cossim": text})


def test_failed_save_keeps_the_old_file(
    tmp_path: Path, backbone: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.safetensors"
    weights.save(path, backbone, {})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WeightsError, match=r"mine\.safetensors: cannot be written: No space left on device"):
            weights.save(path, {**backbone, "skip1.1.bias": torch.ones(24)}, {})
    with pytest.raises(WeightsError, match="beyond all measure"):
        weights.save(path, {**backbone, "skip1.1.bias": torch.full((24,), torch.nan)}, {})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_save_wants_safetensors_in_an_existing_folder(tmp_path: Path, backbone: dict[str, torch.Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"saved as \.safetensors"):
        weights.save(tmp_path / "a.pt", backbone, {})
    with pytest.raises(WeightsError, match="cannot be written"):
        weights.save(tmp_path / "nowhere" / "a.safetensors", backbone, {})
