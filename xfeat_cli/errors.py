"""The errors a user can act on. Each message names the file and the remedy.

XFeatError
├── UsageError        options or inputs that cannot work together
├── ImageError        one image cannot be read: it is reported and skipped
├── VideoError        no frame of a video can be read
├── WeightsError      weights are missing, damaged, or lack a part
├── PairsError        a pair list is malformed or names unknown images
├── TrainingError     a training run cannot go on
├── ExportError       an exported file does not do what it should
├── SfmError          a database or a reconstruction cannot be made
└── StoreError        an HDF5 file cannot be read or written
    ├── LockedError     another process writes the same file
    └── ProvenanceError the file was made with other options, weights or images
"""

import unicodedata

_CONTROLS = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories: control characters, lone surrogates (bytes that are not UTF-8), separators of lines."""

_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a terminal show text in another order."""


def one_line(text: str) -> str:
    """Text of anyone's making for one line of a terminal: control characters come escaped, as in Python's strings."""
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character in _DIRECTIONS or unicodedata.category(character) in _CONTROLS:
        return ascii(character)[1:-1]
    return character


class XFeatError(Exception):
    """Base of every error that xfeat raises on purpose; `str(error)` is one line for the user."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(XFeatError):
    pass


class ImageError(XFeatError):
    pass


class VideoError(XFeatError):
    pass


class WeightsError(XFeatError):
    pass


class PairsError(XFeatError):
    pass


class TrainingError(XFeatError):
    pass


class ExportError(XFeatError):
    pass


class SfmError(XFeatError):
    pass


class StoreError(XFeatError):
    pass


class LockedError(StoreError):
    pass


class ProvenanceError(StoreError):
    pass
