"""HEIC and HEIF images, as phones write them, through libheif: the one owner of pillow-heif (extra `[heif]`)."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec


@lru_cache(1)
def teach_pillow() -> None:
    """From now on Pillow reads HEIF, where pillow-heif is installed."""
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
