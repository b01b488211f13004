"""The features files that the two images of a pair are looked up in: one for both, or one for each."""

from __future__ import annotations

from pathlib import Path

from xfeat_cli.errors import StoreError, UsageError
from xfeat_cli.jobs import fingerprint
from xfeat_cli.photo_names import KnownNames
from xfeat_cli.store.layout import IMAGES_ATTRIBUTE
from xfeat_cli.store.reader import FeaturesReader
from xfeat_cli.types import Pair

_WEIGHTS = "xfeat_weights_sha256"


class PairReaders:
    """The readers of a pair's images, `readers[0]` of the first and `readers[1]` of the second.

    ordered: whether they are of two files, so that (a, b) and (b, a) are two pairs, and (a, a) is one.

    Raises UsageError for two files whose features cannot be matched with one another.
    """

    def __init__(self, reader: FeaturesReader, reader0: FeaturesReader | None = None) -> None:
        self.ordered = reader0 is not None
        self.readers = (reader if reader0 is None else reader0, reader)
        if reader0 is not None:
            _check_alike(reader0, reader)

    @property
    def kind(self) -> str:
        """Say what both files hold."""
        return self.readers[1].kind

    @property
    def known(self) -> tuple[KnownNames, KnownNames]:
        """Return the names of the images of each file."""
        of_second = _known(self.readers[1])
        return (_known(self.readers[0]) if self.ordered else of_second), of_second

    def orders(self, pair: Pair) -> tuple[Pair, ...]:
        """Return the pairs that are the same as this one."""
        return (pair,) if self.ordered else (pair, pair[::-1])

    def missing(self, pair: Pair) -> tuple[str, Path] | None:
        """Return the first image that is not in its file, and that file."""
        sides = zip(pair, self.readers, strict=True)
        return next(((name, reader.path) for name, reader in sides if name not in reader), None)

    def digests(self, pair: Pair) -> tuple[str, str]:
        """Return what the two images were when their features were made; empty for features of other tools."""
        return fingerprint.of_image(self.readers[0], pair[0]), fingerprint.of_image(self.readers[1], pair[1])

    def provenance(self) -> dict[str, str]:
        """Return what the features were made with."""
        first = {"features0": fingerprint.of_options(self.readers[0])} if self.ordered else {}
        return {"features": fingerprint.of_options(self.readers[1]), **first}


def _known(reader: FeaturesReader) -> KnownNames:
    return KnownNames(reader.names(), reader.attributes.get(IMAGES_ATTRIBUTE))


def _check_alike(reader0: FeaturesReader, reader1: FeaturesReader) -> None:
    length0, length1 = _descriptor_length(reader0), _descriptor_length(reader1)
    if reader0.kind != reader1.kind:
        content0, content1 = reader0.kind, reader1.kind
    elif None not in (length0, length1) and length0 != length1:
        content0, content1 = f"descriptors of {length0} numbers", f"descriptors of {length1}"
    elif reader0.attributes.get(_WEIGHTS) != reader1.attributes.get(_WEIGHTS):
        content0, content1 = f"features of {_weights(reader0)}", f"features of {_weights(reader1)}"
    else:
        return
    raise UsageError(
        f"{reader0.path} holds {content0}, {reader1.path} {content1}, which cannot be matched with one another; "
        "extract both in the same way"
    )


def _weights(reader: FeaturesReader) -> str:
    if _WEIGHTS not in reader.attributes:
        return "weights that it does not name"
    return f"the weights {reader.attributes.get('xfeat_weights')} ({str(reader.attributes[_WEIGHTS])[:8]})"


def _descriptor_length(reader: FeaturesReader) -> int | None:
    """Return how many numbers a descriptor of the first image that has any holds; None where none has."""
    for name in reader.names():
        try:
            length, count = reader.descriptor_shape(name)
        except StoreError:  # it fails its own pairs
            continue
        if count:
            return length
    return None
