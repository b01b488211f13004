"""Weights: locate, verify, load, save.

A name is a shipped file's stem, `default`, or a download (`official`; `lighterglue`, a matcher, no network); anything
else is a path. Shipped and own weights are safetensors with metadata; the released `.pt` files load unchanged, and no
pickle is ever executed. torch is imported where tensors are read, so that `known` and `locate` stay quick.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xfeat_cli.errors import WeightsError
from xfeat_cli.model import download
from xfeat_cli.model.download import MATCHER, NETWORK

if TYPE_CHECKING:
    import torch

DEFAULT_WEIGHTS = "xfeat-v2"

RELEASED_MIN_COSSIM = 0.82
"""The cosine threshold of the authors' `match`, for weights whose metadata name none."""

RELEASED_REFINER_LABELS = "corner"
"""What the answers of the authors' refiner mean, for weights whose metadata do not say."""

MAX_BYTES = 256 * 2**20
"""No file of these weights comes near this, not even a checkpoint with its optimizer."""

_PACKAGE = Path(__file__).resolve().parent.parent
_SHIPPED_FOLDERS = (_PACKAGE / "shipped_weights", _PACKAGE.parent / "weights")

_REFINER = "fine_matcher."
_NESTED_UNDER = ("state_dict", "model")


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file is.

    name: a download's, else the file's stem.
    sha256: of the file, 64 hex digits.
    metadata: of the safetensors file; empty for `.pt`.
    min_cossim: cosine threshold for matching that suits these weights, in [-1, 1].
    refiner_labels: what the refiner's answers mean, a name of `matching.labels.LABELS`.
    parameters: learned numbers; batch norm statistics are not counted.
    kind: `network` for XFeat's, `matcher` for LighterGlue's, which has neither refiner nor cosine threshold.
    """

    name: str
    path: Path
    sha256: str
    metadata: dict[str, str]
    has_refiner: bool
    min_cossim: float
    refiner_labels: str
    parameters: int
    kind: str = NETWORK


@dataclass(frozen=True)
class Weights:
    """state: float32 tensors on the CPU, names as in `model.network`, without `num_batches_tracked`; a matcher's as in
    kornia.
    """

    info: WeightsInfo
    state: dict[str, torch.Tensor]


@dataclass(frozen=True)
class KnownWeights:
    """Weights that have a name; `path` is None until they are downloaded. kind: as in `WeightsInfo`."""

    name: str
    path: Path | None
    shipped: bool
    default: bool
    kind: str = NETWORK


def known() -> list[KnownWeights]:
    """All weights that have a name: the shipped ones, then those to download. Nothing is opened."""
    shipped = [KnownWeights(name, path, True, name == DEFAULT_WEIGHTS) for name, path in _shipped().items()]
    downloads = [(entry, download.cached_path(entry)) for entry in download.DOWNLOADS]
    return shipped + [
        KnownWeights(entry.name, path if path.is_file() else None, False, entry.name == DEFAULT_WEIGHTS, entry.kind)
        for entry, path in downloads
    ]


def locate(name_or_path: str) -> Path:
    """The file behind a name or a path. A name wins over a file of that name in the current folder.

    Raises WeightsError when there is none, or when a downloaded file is not what it should be.
    """
    name = DEFAULT_WEIGHTS if name_or_path == "default" else name_or_path
    shipped = _shipped()
    if name in shipped:
        return shipped[name]
    entry = download.find(name)
    if entry is not None:
        path = download.cached_path(entry)
        if not path.exists():
            raise WeightsError(
                f"the {name} weights are not downloaded: run `xfeat weights download {name}`, "
                f"or put the file of {entry.url} at {path}"
            )
        download.check(entry, path)
        return path
    if os.path.exists(name):
        return Path(name)
    if os.path.dirname(name) or Path(name).suffix in _READERS:
        raise WeightsError(f"{name}: no such weights file")
    names = ", ".join(weights.name for weights in known()) or "none, reinstall xfeat"
    raise WeightsError(
        f"no weights named {name!r}; known: {names}; a file's path will do; "
        f"`xfeat weights download official` gets the authors' weights"
    )


def load(name_or_path: str) -> Weights:
    """Read and check a network's weights.

    Raises WeightsError unless the file holds exactly the tensors of the network, with or without those of the refiner,
    all finite.
    """
    weights = _open(name_or_path)
    if weights.info.kind == MATCHER:
        raise WeightsError(
            f"{weights.info.path}: a matcher, not a network: give it to `xfeat match --matcher lighterglue`"
        )
    return weights


def load_matcher(name_or_path: str) -> Weights:
    """Read and check a matcher's weights.

    Raises WeightsError unless the file holds exactly the tensors of LighterGlue, all finite.
    """
    weights = _open(name_or_path)
    if weights.info.kind != MATCHER:
        raise WeightsError(
            f"{weights.info.path}: a network, not a matcher; leave --weights out to use the downloaded matcher"
        )
    return weights


def describe(name_or_path: str) -> WeightsInfo:
    """What a file of either kind is, read and checked. Raises WeightsError."""
    return _open(name_or_path).info


def _open(name_or_path: str) -> Weights:
    """The one place where a weights file is opened."""
    path = locate(name_or_path)
    reader = _READERS.get(path.suffix.lower())
    data = _read(path)
    if reader is None:
        raise WeightsError(f"{path}: weights must be a file ending in {', '.join(_READERS)}")
    tensors, metadata = reader(path, data)
    from xfeat_cli.matching.lighterglue import is_lighterglue

    kind = MATCHER if is_lighterglue([str(name) for name in tensors]) else NETWORK
    state = _checked_matcher(path, tensors) if kind == MATCHER else _checked(path, tensors)
    entry = _download_at(path)
    info = WeightsInfo(
        name=entry.name if entry else path.stem,
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        metadata=metadata,
        has_refiner=any(name.startswith(_REFINER) for name in state),
        min_cossim=-1.0 if kind == MATCHER else _min_cossim(path, metadata),
        refiner_labels=_refiner_labels(path, metadata),
        parameters=_count(state),
        kind=kind,
    )
    return Weights(info, state)


def in_memory(state: Mapping[str, torch.Tensor], path: Path, refiner_labels: str) -> Weights:
    """Weights that are not in a file yet; `path` is where they may be written. Raises WeightsError like `load`."""
    checked = _checked(path, state)
    has_refiner = any(name.startswith(_REFINER) for name in checked)
    info = WeightsInfo(path.stem, path, "", {}, has_refiner, RELEASED_MIN_COSSIM, refiner_labels, _count(checked))
    return Weights(info, checked)


def verify(name_or_path: str) -> WeightsInfo:
    """Read the weights, of either kind, and compare the file with what is known of it.

    A download must have its git blob id; shipped weights must have the sha256 of their model card (the `.md` beside
    them). Of any other file only the tensors are checked. Raises WeightsError.
    """
    info = describe(name_or_path)
    entry = _download_at(info.path)
    if entry is not None:
        download.check(entry, info.path)
    if info.path.resolve() in _shipped().values():
        card = info.path.with_suffix(".md")
        try:
            digests = re.findall(r"\b[0-9a-f]{64}\b", card.read_text(encoding="utf-8"))
        except OSError as error:
            raise WeightsError(f"{card}: the model card cannot be read: {error.strerror or error}") from error
        if info.sha256 not in digests:
            raise WeightsError(f"{info.path}: its sha256 {info.sha256} is not that of {card.name}; reinstall xfeat")
    return info


def save(path: Path, state: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that `load` accepts, whole or not at all; a file of that name is replaced.

    state: as of `Weights.state`, on any device; `num_batches_tracked` is left out.
    metadata: `min_cossim` and `refiner_labels` are what xfeat reads; the training run should describe itself in others.
    Raises WeightsError for a state that `load` would refuse, and when the file cannot be written.
    """
    from safetensors import torch as safetensors

    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: weights are saved as .safetensors")
    _min_cossim(path, metadata)
    _refiner_labels(path, metadata)
    data = safetensors.save(_checked(path, state), metadata)
    try:
        with download.whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from error


def _count(state: Mapping[str, torch.Tensor]) -> int:
    return sum(tensor.numel() for name, tensor in state.items() if ".running_" not in name)


def _shipped() -> dict[str, Path]:
    folder = next((folder for folder in _SHIPPED_FOLDERS if folder.is_dir()), None)
    return {path.stem: path.resolve() for path in sorted(folder.glob("*.safetensors"))} if folder else {}


def _download_at(path: Path) -> download.Download | None:
    here = path.resolve()
    return next((entry for entry in download.DOWNLOADS if download.cached_path(entry).resolve() == here), None)


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise WeightsError(f"{path}: a folder, not a weights file")
        if not path.is_file():
            raise WeightsError(f"{path}: not a regular file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(f"{path}: {size >> 20} MiB, so these are not weights of xfeat")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise WeightsError(f"{path}: the file is empty")
    return data


def _read_safetensors(path: Path, data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import torch as safetensors

    try:
        tensors = safetensors.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as error:  # a damaged file makes the parser raise anything
        raise WeightsError(f"{path}: damaged, or no safetensors file: {_first_line(error)}") from error
    return tensors, header.get("__metadata__", {})


def _read_checkpoint(path: Path, data: bytes) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    import torch

    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the parser raise anything
        raise WeightsError(
            f"{path}: damaged, or it holds more than tensors, which xfeat never executes: {_first_line(error)}"
        ) from error
    for key in _NESTED_UNDER:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not named tensors")
    strangers = [name for name, value in content.items() if not _is_plain(value)]
    if strangers:
        raise WeightsError(f"{path}: should be plain tensors and are not: {_listed(strangers)}")
    return content, {}


def _is_plain(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


_READERS = {".safetensors": _read_safetensors, ".pt": _read_checkpoint, ".pth": _read_checkpoint}


def _checked(path: Path, tensors: Mapping[Any, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as the network wants them, or a WeightsError that names those which are wrong."""
    state = {str(name): tensor for name, tensor in tensors.items() if not str(name).endswith("num_batches_tracked")}
    expected = _expected_shapes(with_refiner=any(name.startswith(_REFINER) for name in state))
    return _as_expected(path, state, expected, "this network")


def _checked_matcher(path: Path, tensors: Mapping[Any, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As `_checked`, of LighterGlue, under kornia's names."""
    from xfeat_cli.matching.lighterglue import expected_shapes, rename

    state = rename({str(name): tensor for name, tensor in tensors.items()})
    return _as_expected(path, state, expected_shapes(), "LighterGlue")


def _as_expected(
    path: Path, state: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], owner: str
) -> dict[str, torch.Tensor]:
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    misshapen = [
        f"{name} {tuple(tensor.shape)} instead of {expected[name]}"
        for name, tensor in state.items()
        if name in expected and tuple(tensor.shape) != expected[name]
    ]
    unreal = [name for name, tensor in state.items() if not tensor.is_floating_point()]
    problems = [("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen)]
    problems.append(("not floating-point", unreal))
    if not any(names for _, names in problems):
        state = {name: tensor.detach().cpu().float().contiguous() for name, tensor in state.items()}
        problems.append(("NaN or infinite", [name for name, tensor in state.items() if not tensor.isfinite().all()]))
    found = "; ".join(f"{problem}: {_listed(names)}" for problem, names in problems if names)
    if found:
        raise WeightsError(f"{path}: not weights of {owner}; {found}")
    return state


def _expected_shapes(with_refiner: bool) -> dict[str, tuple[int, ...]]:
    import torch

    from xfeat_cli.model.network import Refiner, XFeatNetwork

    with torch.device("meta"):
        state = XFeatNetwork().state_dict()
        if with_refiner:
            state |= Refiner().state_dict()
    return {name: tuple(t.shape) for name, t in state.items() if not name.endswith("num_batches_tracked")}


def _min_cossim(path: Path, metadata: dict[str, str]) -> float:
    text = metadata.get("min_cossim")
    if text is None:
        return RELEASED_MIN_COSSIM
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise WeightsError(f"{path}: min_cossim in its metadata is {text!r}, not a number from -1 to 1")
    return value


def _refiner_labels(path: Path, metadata: dict[str, str]) -> str:
    name = metadata.get("refiner_labels", RELEASED_REFINER_LABELS)
    if name not in (known := ("corner", "centre")):
        raise WeightsError(f"{path}: refiner_labels in its metadata is {name!r}, not {' or '.join(known)}")
    return name


def _listed(names: list[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
