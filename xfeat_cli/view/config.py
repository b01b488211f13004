"""Every default of pictures, and its meaning."""

from __future__ import annotations

from dataclasses import dataclass

from xfeat_cli.errors import UsageError


@dataclass(frozen=True)
class ViewConfig:
    """size: longest side of a photograph in a picture, px. drawn: most matches of each kind that a picture shows.

    most: of a matches file, only this many pairs, those with most matches; 0 = as named. sheet: images on a contact
    sheet. every: as many sheets as all images need, instead of one with some of them.
    """

    size: int = 1600
    drawn: int = 100
    most: int = 0
    sheet: int = 60
    every: bool = False
    heatmap: bool = False
    reliability: bool = False

    def __post_init__(self) -> None:
        for name, least in (("size", 64), ("drawn", 1), ("most", 0), ("sheet", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")
