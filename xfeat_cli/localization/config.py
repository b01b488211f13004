"""Every default of localisation and its meaning."""

from __future__ import annotations

from dataclasses import dataclass

from xfeat_cli.config import require, require_whole

MOST_SEED = 2**31 - 1


@dataclass(frozen=True)
class LocalizeConfig:
    """How a photograph is localised.

    retrieved: images of the model that a query is matched with, those that look most like it.
    min_cossim: least cosine of a match; None = what the features' weights ask for.
    max_error: an inlier's largest reprojection error, px of the stored photograph at 640 px of its longest side; in
        larger photographs in proportion.
    min_inliers: with fewer a query is not localised.
    seed: of the robust estimator. device: as for extraction.
    """

    retrieved: int = 10
    min_cossim: float | None = None
    max_error: float = 4.0
    min_inliers: int = 15
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        require_whole("retrieved", self.retrieved, 1, 10_000)
        if self.min_cossim is not None:
            require(-1 <= self.min_cossim <= 1, "min_cossim", self.min_cossim, "in [-1, 1], -1 = no threshold")
        require(0 < self.max_error < float("inf"), "max_error", self.max_error, "more than 0 px")
        require_whole("min_inliers", self.min_inliers, 4, 1_000_000)
        require_whole("seed", self.seed, 0, MOST_SEED)
