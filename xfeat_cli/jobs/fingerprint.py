"""What a stored file was made with, and of, as short digests that later stages remember.

Equal for equal options and content, whenever it was written and by whichever version.
"""

from __future__ import annotations

import hashlib

from xfeat_cli.store.layout import NOT_COMPARED
from xfeat_cli.store.reader import FeaturesReader, KeypointsReader, MatchesReader

_BYTES = 8


def of_options(reader: FeaturesReader | KeypointsReader | MatchesReader) -> str:
    """Return the digest of the options and weights that a file was made with: with others, later stages are
    made again.
    """
    return hashlib.blake2b(_options(reader), digest_size=_BYTES).hexdigest()


def of_image(reader: FeaturesReader, name: str) -> str:
    """Return the digest of what an image was, and how it was turned, when its features were made; empty for
    features of other tools.
    """
    attributes = reader.entry_attributes(name)
    digest, orientation = attributes.get("image_digest", ""), attributes.get("orientation", 1)
    return f"{digest}" if orientation == 1 else f"{digest} {orientation}"


def of_content(reader: KeypointsReader | MatchesReader) -> str:
    """Return the digest of the options and of each entry's name and attributes, which say what it was made of."""
    digest = hashlib.blake2b(_options(reader), digest_size=_BYTES)
    for name in reader.names():
        digest.update(repr((name, sorted(reader.entry_attributes(name).items()))).encode())
    return digest.hexdigest()


def _options(reader: FeaturesReader | KeypointsReader | MatchesReader) -> bytes:
    told = ((key, value) for key, value in reader.attributes.items() if key not in NOT_COMPARED)
    return repr(sorted(told)).encode()
