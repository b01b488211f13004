"""Keypoints and matches of a collection → the same, registered photometrically: more precise, with uncertainties.

Three passes: pairs are registered (resumable, `registration`), one problem is solved for all keypoints (`adjustment`),
keypoints and matches are written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xfeat_cli.config import RefineConfig
from xfeat_cli.errors import ProvenanceError, StoreError, UsageError
from xfeat_cli.files import FileKind, check_output
from xfeat_cli.jobs import fingerprint
from xfeat_cli.jobs.adjustment import adjust, scratch_folder
from xfeat_cli.jobs.progress import Listener, Report, Status, Tally
from xfeat_cli.jobs.refined import RefineSummary, Source, write_refined
from xfeat_cli.jobs.registration import register_pairs
from xfeat_cli.store.layout import KEYPOINTS, MATCHES, SEMI_DENSE_FEATURES, SEMI_DENSE_MATCHES
from xfeat_cli.store.names import resolve
from xfeat_cli.store.reader import KeypointsReader, LinksReader, MatchesReader
from xfeat_cli.store.writer import Store
from xfeat_cli.types import Pair


def refine(
    features: str | Path,
    matches: str | Path,
    images: str | Path,
    output: str | Path = "refined.h5",
    output_matches: str | Path = "refined-matches.h5",
    config: RefineConfig | None = None,
    *,
    links: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> RefineSummary:
    """Register the photographs of each pair at its matches, and move each keypoint once for all pairs.

    Args:
        features: keypoints, of `extract` (sparse) or of `aggregate`; or of hloc.
        matches: their matches, as indices.
        images: folder that image names are relative to.
        output: file of keypoints to write. Keypoint i of an image is its keypoint i of `features`, moved; behind them
            come second keypoints where pairs need one that has not moved. `uncertainty` (N,) px beside them.
        output_matches: file of matches to write, with `sigma` (N0,) px for each match.
        config: see `RefineConfig`; `options` replace its fields.
        links: file for what registration says of each pair, kept so that a later run with more pairs registers only
            the new ones. None = beside `output_matches`, removed when all is done.
        overwrite: start again.
        listener: told of each pair when it has been registered.

    Returns:
        What was done. A pair whose images cannot be read is reported, and keeps its matches as they are.

    Raises:
        UsageError: files that cannot work together.
        ProvenanceError: an output was made with other options, and `overwrite` is not given.
        StoreError: a file cannot be read or written.
    """
    started = time.monotonic()
    config = replace(config or RefineConfig(), **options)
    made = Path(output), Path(output_matches), None if links is None else Path(links)
    paths = _Paths(Path(features), Path(matches), Path(images), *made)
    paths.check()
    summary = RefineSummary(str(paths.output_matches), keypoints_file=str(paths.output), device="cpu", precision="fp32")
    with KeypointsReader(paths.features) as keypoints, MatchesReader(paths.matches) as pairs:
        if pairs.kind == SEMI_DENSE_MATCHES or keypoints.kind == SEMI_DENSE_FEATURES:
            raise UsageError(f"{paths.matches} holds {pairs.kind}; make keypoints of them first: xfeat aggregate")
        resolved = resolve(pairs.names(), keypoints.names())
        if not resolved.pairs:
            raise StoreError(f"{matches} holds no pair of images in {features}; give the features it was made from")
        job = _Job(paths, keypoints, pairs, resolved.pairs, config, summary, Tally(summary, listener))
        job.tally.start(len(resolved.pairs) + len(resolved.unknown) + len(resolved.ambiguous))
        for entry in resolved.unknown:
            job.tally.add(Report(entry, Status.FAILED, error=f"{entry!r}: its images are not in {features}"))
        for entry, problem in resolved.ambiguous.items():
            job.tally.add(Report(entry, Status.FAILED, error=problem))
        job.run(overwrite)
    summary.seconds = time.monotonic() - started
    return summary


@dataclass(frozen=True)
class _Paths:
    features: Path
    matches: Path
    images: Path
    output: Path
    output_matches: Path
    kept_links: Path | None

    @property
    def links(self) -> Path:
        return self.kept_links or self.output_matches.with_name(f"{self.output_matches.name}.links")

    @property
    def scratch(self) -> Path:
        return self.output_matches.with_name(f".{self.output_matches.name}.scratch")

    def check(self) -> None:
        if not self.images.is_dir():
            raise UsageError(f"{self.images} is not a folder of photographs")
        made = (self.output, self.output_matches, self.links)
        for number, path in enumerate(made):
            check_output(path, FileKind.HDF5, (self.features, self.matches, *made[:number]))


@dataclass
class _Job:
    paths: _Paths
    features: KeypointsReader
    matches: MatchesReader
    pairs: Mapping[str, Pair]
    config: RefineConfig
    summary: RefineSummary
    tally: Tally

    def run(self, overwrite: bool) -> None:
        options = {key: value for key, value in asdict(self.config).items() if key != "workers"}
        contents = {"features": fingerprint.of_content(self.features), "matches": fingerprint.of_content(self.matches)}
        if not overwrite and self._is_done(options, contents):
            for pair in self.pairs.values():
                self.tally.add(Report(" ".join(pair), Status.SKIPPED, details={"image0": pair[0], "image1": pair[1]}))
            return
        paths = self.paths
        register_pairs(
            self.pairs,
            self.features,
            self.matches,
            paths.images,
            paths.links,
            self.config,
            self.tally,
            overwrite=overwrite,
        )
        if self.summary.nothing_done:
            if paths.kept_links is None:
                paths.links.unlink(missing_ok=True)
            return
        provenance = {**options, **contents}
        with (
            Store.open(paths.output, KEYPOINTS, provenance, overwrite=True) as keypoints,
            Store.open(paths.output_matches, MATCHES, provenance, overwrite=True) as matches,
            scratch_folder(paths.scratch) as scratch,
            LinksReader(paths.links) as links,
        ):
            adjustment = adjust(self.pairs, links, self.features, scratch, self.config)
            source = Source(self.pairs, self.features, self.matches, links, adjustment, self.config)
            write_refined(source, keypoints, matches, self.summary)
            keypoints.finish()
            matches.finish()
        if paths.kept_links is None:
            paths.links.unlink(missing_ok=True)

    def _is_done(self, options: Mapping[str, Any], contents: Mapping[str, str]) -> bool:
        """Return whether both outputs are there and made of these inputs. Raises ProvenanceError for other options."""
        done = True
        for path, reader in ((self.paths.output, KeypointsReader), (self.paths.output_matches, MatchesReader)):
            if not path.exists():
                done = False
                continue
            with reader(path) as made:
                found = made.attributes
            remedy = "use overwrite=True to start again, or another output name"
            if "xfeat_kind" not in found:
                raise ProvenanceError(f"{path} was not made by xfeat; {remedy}")
            differences = [
                f"{key} {found.get(f'xfeat_{key}', 'unknown')}, now {value}"
                for key, value in options.items()
                if found.get(f"xfeat_{key}") != value
            ]
            if differences:
                raise ProvenanceError(f"{path} was made with {'; '.join(differences)}; {remedy}")
            done &= all(found.get(f"xfeat_{key}") == value for key, value in contents.items())
        return done
