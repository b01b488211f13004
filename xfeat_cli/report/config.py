"""Every default of reports, and its meaning."""

from __future__ import annotations

from dataclasses import dataclass

from xfeat_cli.errors import UsageError


@dataclass(frozen=True)
class ReportConfig:
    """How large a page may become.

    thumbnail, preview: longest sides of a photograph in the list and when opened, px; None: by the number of images.
    points: most 3-D points of a model on the page. drawn_pairs: pairs whose matches the page shows; drawn_matches: most
    of them, of each kind. drawn_keypoints: most keypoints that a photograph shows. listed_pairs: pairs in the matrix.
    """

    thumbnail: int = 320
    preview: int | None = None
    points: int = 500_000
    drawn_pairs: int = 5_000
    drawn_matches: int = 150
    drawn_keypoints: int = 1_500
    listed_pairs: int = 500_000

    def __post_init__(self) -> None:
        for name in ("thumbnail", "points", "drawn_pairs", "drawn_matches", "drawn_keypoints", "listed_pairs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.preview is not None and self.preview < 64:
            raise UsageError(f"preview is {self.preview}; it must be at least 64 px")

    def preview_px(self, images: int) -> int:
        """Return longest side of an opened photograph: smaller where there are many."""
        if self.preview is not None:
            return self.preview
        return next(px for most, px in ((100, 1280), (500, 960), (2000, 720), (1 << 62, 480)) if images <= most)
