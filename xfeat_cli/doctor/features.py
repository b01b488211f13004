"""Files of features and keypoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xfeat_cli.doctor.findings import Finding, Severity, some
from xfeat_cli.errors import ImageError, StoreError
from xfeat_cli.images import ImageFile, file_digest, stored_size
from xfeat_cli.inspection import inspect_file
from xfeat_cli.store.names import colliding_names
from xfeat_cli.store.reader import FeaturesReader, KeypointsReader

_SAMPLED = 200
_NORM_TOLERANCE = 0.02


def examine_features(path: Path, images: Path | None) -> list[Finding]:
    """images: the folder of the photographs, if it is known."""
    found = half_written(path)
    with KeypointsReader(path) as reader:
        names = reader.names()
        sample = names[:: -(-len(names) // _SAMPLED) or 1]
        found += _half_precision(path, reader, sample)
        found += _outside(path, reader, sample)
        found += _collisions(path, names)
        if images is not None:
            found += _other_images(path, reader, names, images)
    if reader.kind == "features":
        with FeaturesReader(path) as whole:
            found += _norms(path, whole, sample)
    return found


def half_written(path: Path) -> list[Finding]:
    """Return entries that lack something, and files that are not finished."""
    inspection = inspect_file(path)
    found = []
    if not inspection.finished:
        found.append(
            Finding(Severity.ERROR, "unfinished", str(path), "the job that writes it has not ended", "run it again")
        )
    if inspection.incomplete:
        names = sorted(inspection.incomplete)
        found.append(
            Finding(
                Severity.ERROR,
                "half-written",
                str(path),
                f"{len(names)} entries are not whole: {some([f'{n} {inspection.incomplete[n]}' for n in names])}",
                "hloc takes them for done: delete them, or make the file again",
            )
        )
    return found


def _half_precision(path: Path, reader: KeypointsReader, sample: list[str]) -> list[Finding]:
    half = [name for name in sample if reader.dtype(name, "keypoints") == np.float16]
    if not half:
        return []
    farthest = max(_extent(reader, name) for name in half)
    step = float(np.spacing(np.float16(min(farthest, 65504))))
    return [
        Finding(
            Severity.WARNING if step > 0.25 else Severity.NOTE,
            "half-precision-keypoints",
            str(path),
            f"keypoints are float16, whose numbers lie {step:g} px apart at x or y = {farthest:,.0f}: they are off by "
            f"up to {step / 2:g} px, {step / 12**0.5:.2f} px on average",
            "extract with float32 keypoints (xfeat; in hloc: as_half=False)",
        )
    ]


def _extent(reader: KeypointsReader, name: str) -> float:
    try:
        features = reader.load(name)
    except StoreError:
        return 0.0
    return max(float(max(features.image_size)), float(features.keypoints.max(initial=0)))


def _outside(path: Path, reader: KeypointsReader, sample: list[str]) -> list[Finding]:
    outside, bad = [], []
    for name in sample:
        try:
            features = reader.load(name)
        except StoreError as error:
            bad.append(str(error))
            continue
        size = np.array(features.image_size)
        if size.all() and len(features) and ((features.keypoints < -0.5) | (features.keypoints > size - 0.5)).any():
            outside.append(name)
    found = []
    if bad:
        found.append(Finding(Severity.ERROR, "damaged", str(path), some(bad), "make these entries again"))
    if outside:
        found.append(
            Finding(
                Severity.ERROR,
                "outside",
                str(path),
                f"keypoints lie outside of {len(outside)} of {len(sample)} images looked at ({some(outside)})",
                "they are in another image's pixels, such as a resized one's: scale them, or extract again",
            )
        )
    return found


def _norms(path: Path, reader: FeaturesReader, sample: list[str]) -> list[Finding]:
    wrong = []
    for name in sample:
        try:
            descriptors = reader.load(name).descriptors
        except StoreError:
            continue  # told above
        lengths = np.linalg.norm(descriptors.astype(np.float32), axis=1)
        if len(lengths) and float(np.abs(np.median(lengths) - 1)) > _NORM_TOLERANCE:
            wrong.append((name, float(np.median(lengths))))
    if not wrong:
        return []
    return [
        Finding(
            Severity.WARNING,
            "not-normalised",
            str(path),
            f"descriptors of {len(wrong)} of {len(sample)} images looked at have not length 1, but {wrong[0][1]:.3g}",
            "thresholds on cosine and distance mean something else for them: divide each by its length",
        )
    ]


def _collisions(path: Path, names: list[str]) -> list[Finding]:
    colliding = colliding_names(names)
    if not colliding:
        return []
    return [
        Finding(
            Severity.ERROR,
            "names-collide",
            str(path),
            f"{some([' and '.join(owners) for owners in colliding])} have one name in matches files, as hloc writes it",
            "rename one of each",
        )
    ]


def _other_images(path: Path, reader: KeypointsReader, names: list[str], images: Path) -> list[Finding]:
    gone: list[str] = []
    changed: list[str] = []
    resized: list[str] = []
    turned: list[str] = []
    for name in names:
        file = images / name
        if not file.is_file():
            gone.append(name)
            continue
        try:
            size, about = reader.image_size(name), reader.entry_attributes(name)
            stored = stored_size(ImageFile(name, file))
        except (ImageError, StoreError):
            continue
        if size not in ((0, 0), stored):
            shown = f"{name} {size[0]}x{size[1]}, not {stored[0]}x{stored[1]}"
            (turned if size == stored[::-1] else resized).append(shown)
        elif about.get("image_digest", "") not in ("", file_digest(file)):
            changed.append(name)
    checks = (
        (gone, "vanished", Severity.WARNING, "are of photographs that are not in {}", "leave them out of new pairs"),
        (changed, "changed", Severity.ERROR, "are of other versions of the photographs in {}", "extract again"),
        (resized, "other-size", Severity.ERROR, "are of images of another size than those in {}", "extract again"),
        (turned, "turned", Severity.ERROR, "are of images turned by their EXIF; those in {} are stored on their side",
         "extract from the images as they are stored, or store them upright"),
    )  # fmt: skip
    return [
        Finding(severity, check, str(path), f"{len(those)} entries {cause.format(images)}: {some(those)}", remedy)
        for those, check, severity, cause, remedy in checks
        if those
    ]
