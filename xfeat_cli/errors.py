"""The errors a user can act on. Each message names the file and the remedy.

XFeatError
├── UsageError        options or inputs that cannot work together
├── ImageError        one image cannot be read: it is reported and skipped
├── WeightsError      weights are missing, damaged, or lack a part
├── PairsError        a pair list is malformed or names unknown images
├── TrainingError     a training run cannot go on
├── ExportError       an exported file does not do what it should
├── SfmError          a database or a reconstruction cannot be made
└── StoreError        an HDF5 file cannot be read or written
    ├── LockedError     another process writes the same file
    └── ProvenanceError the file was made with other options, weights or images
"""


class XFeatError(Exception):
    """Base of every error that xfeat raises on purpose; `str(error)` is one line for the user."""


class UsageError(XFeatError):
    pass


class ImageError(XFeatError):
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
