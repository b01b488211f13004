"""Weights by name or path: locate, load, save, verify.

A name is a shipped file's stem, `default`, or a download (`official`; `lighterglue`, a matcher, no network); anything
else is a path. Shipped and own weights are safetensors with metadata; the released `.pt` files load unchanged, and no
pickle is ever executed. torch is imported where tensors are read, so that `known` and `locate` stay quick.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xfeat_cli.errors import WeightsError
from xfeat_cli.files import FileKind, whole_file
from xfeat_cli.model import download
from xfeat_cli.model.download import MATCHER, NETWORK
from xfeat_cli.model.lighterglue_state import is_lighterglue
from xfeat_cli.model.weights_file import READERS, REFINER, checked_matcher, checked_network, read_bytes

if TYPE_CHECKING:
    import torch

DEFAULT_WEIGHTS = "xfeat-v3"

RELEASED_MIN_COSSIM = 0.82
"""The cosine threshold of the authors' `match`, for weights whose metadata name none."""

RELEASED_REFINER_LABELS = "corner"
"""What the answers of the authors' refiner mean, for weights whose metadata do not say."""

_PACKAGE = Path(__file__).resolve().parent.parent
_SHIPPED_FOLDERS = (_PACKAGE / "shipped_weights", _PACKAGE.parent / "weights")


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file is.

    name: a download's, else the file's stem.
    sha256: of the file, 64 hex digits.
    metadata: of the safetensors file; empty for `.pt`.
    min_cossim: cosine threshold for matching that suits these weights, in [-1, 1].
    refiner_labels: what the refiner's answers mean, a name of `model.labels.LABELS`.
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
    """Return all weights that have a name: the shipped ones, then those to download. Nothing is opened."""
    shipped = [KnownWeights(name, path, True, name == DEFAULT_WEIGHTS) for name, path in _shipped().items()]
    downloads = [(entry, download.cached_path(entry)) for entry in download.DOWNLOADS]
    return shipped + [
        KnownWeights(entry.name, path if path.is_file() else None, False, entry.name == DEFAULT_WEIGHTS, entry.kind)
        for entry, path in downloads
    ]


def locate(name_or_path: str) -> Path:
    """Return the file behind a name or a path. A name wins over a file of that name in the current folder.

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
    if os.path.dirname(name) or Path(name).suffix in READERS:
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
        raise WeightsError(f"{weights.info.path}: a matcher, not a network: match with matcher=lighterglue")
    return weights


def load_matcher(name_or_path: str) -> Weights:
    """Read and check a matcher's weights.

    Raises WeightsError unless the file holds exactly the tensors of LighterGlue, all finite.
    """
    weights = _open(name_or_path)
    if weights.info.kind != MATCHER:
        raise WeightsError(f"{weights.info.path}: a network, not a matcher; weights=None uses the downloaded matcher")
    return weights


def describe(name_or_path: str) -> WeightsInfo:
    """Return what a file of either kind is, read and checked. Raises WeightsError."""
    return _open(name_or_path).info


def _open(name_or_path: str) -> Weights:
    """Return the one place where a weights file is opened."""
    path = locate(name_or_path)
    reader = READERS.get(path.suffix.lower())
    data = read_bytes(path)
    if reader is None:
        raise WeightsError(f"{path}: weights must be a file ending in {', '.join(READERS)}")
    tensors, metadata = reader(path, data)
    kind = MATCHER if is_lighterglue([str(name) for name in tensors]) else NETWORK
    state = checked_matcher(path, tensors) if kind == MATCHER else checked_network(path, tensors)
    entry = _download_at(path)
    info = WeightsInfo(
        name=entry.name if entry else path.stem,
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        metadata=metadata,
        has_refiner=any(name.startswith(REFINER) for name in state),
        min_cossim=-1.0 if kind == MATCHER else _min_cossim(path, metadata),
        refiner_labels=_refiner_labels(path, metadata),
        parameters=_count(state),
        kind=kind,
    )
    return Weights(info, state)


def in_memory(state: Mapping[str, torch.Tensor], path: Path, refiner_labels: str) -> Weights:
    """Return weights that are not in a file yet; `path` is where they may be written. Raises WeightsError like
    `load`.
    """
    checked = checked_network(path, state)
    has_refiner = any(name.startswith(REFINER) for name in checked)
    info = WeightsInfo(path.stem, path, "", {}, has_refiner, RELEASED_MIN_COSSIM, refiner_labels, _count(checked))
    return Weights(info, checked)


def verify(name_or_path: str) -> WeightsInfo:
    """Read the weights, of either kind, and compare the file with what is known of it.

    A download must have its git blob id; shipped weights must have the sha256 of their model card (the `.md` beside
    them). Only the tensors of any other file are checked. Raises WeightsError.
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


def save(path: Path, state: Mapping[str, torch.Tensor], metadata: dict[str, str], *, half: bool = False) -> None:
    """Write a safetensors file that `load` accepts, whole or not at all; a file of that name is replaced.

    state: as of `Weights.state`, on any device; `num_batches_tracked` is left out.
    metadata: `min_cossim` and `refiner_labels` are what xfeat reads; the training run should describe itself in others.
    half: store float16, which takes half the room and which `load` reads as float32.
    Raises WeightsError for a state that `load` would refuse, and when the file cannot be written.
    """
    from safetensors import torch as safetensors

    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: weights are saved as .safetensors")
    _min_cossim(path, metadata)
    _refiner_labels(path, metadata)
    checked = checked_network(path, state)
    if half:
        checked = checked_network(path, {name: tensor.half() for name, tensor in checked.items()})
        checked = {name: tensor.half() for name, tensor in checked.items()}
    data = safetensors.save(checked, metadata)
    try:
        with whole_file(path, FileKind.SAFETENSORS) as file:
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
