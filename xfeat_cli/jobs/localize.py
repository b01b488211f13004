"""Poses of a folder of photographs in a model: a CSV with everything, and the text form of the benchmarks."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from xfeat_cli.errors import ImageError, UsageError
from xfeat_cli.files import FileKind, check_output, write_text
from xfeat_cli.images import ImageFile, find_images
from xfeat_cli.jobs.progress import Listener, Report, Status, Summary, Tally
from xfeat_cli.localization.config import LocalizeConfig
from xfeat_cli.localization.localizer import Localization, Localizer
from xfeat_cli.machine.processor import usable_cores
from xfeat_cli.machine.threads import in_order
from xfeat_cli.pairing.lists import read_pairs

_COLUMNS = (
    *("name", "status", "qw", "qx", "qy", "qz", "tx", "ty", "tz", "inliers", "matches", "confidence"),
    *("rotation_std_deg", "position_std", "focal_px", "intrinsics", "retrieved", "seconds", "reason"),
)


def localize(
    model: str | Path,
    features: str | Path,
    queries: str | Path,
    output: str | Path = "poses.csv",
    config: LocalizeConfig | None = None,
    *,
    pairs: str | Path | None = None,
    image_list: Iterable[str] | None = None,
    camera: str | None = None,
    weights: str | None = None,
    leave_out: bool = False,
    workers: int | None = None,
    listener: Listener | None = None,
) -> Summary:
    """Return localise the photographs of a folder, or one.

    Args:
        model: a COLMAP model folder.
        features: the sparse features that it was made of.
        queries: a folder, walked recursively, or one photograph.
        output: a CSV, a row a photograph, world to camera as COLMAP states poses; beside it, with the suffix `.txt`,
            `name qw qx qy qz tx ty tz` of those that were localised.
        config: how photographs are localised.
        pairs: a list of `query image` lines: the model's images that each query is matched with.
        image_list: names within the folder, instead of all of it.
        camera: of the queries; see `Localizer`.
        weights: a file, if those that the features name are elsewhere.
        leave_out: a query is never matched with the model's image of the same name.
        workers: photographs at once on a CPU.
        listener: told of each photograph.

    Returns:
        What was done; a photograph without a pose is a failure, with its reason.

    Raises:
        UsageError, SfmError, StoreError, WeightsError, PairsError.
    """
    started = time.monotonic()
    output = Path(output)
    text = output.with_suffix(".txt")
    if text == output:
        raise UsageError(f"{output}: the table needs a name that does not end in .txt, which the poses' text has")
    for path in (output, text):
        check_output(path, FileKind.TEXT, [Path(features), *([Path(pairs)] if pairs is not None else [])])
    localizer = Localizer(model, features, config, camera=camera, weights=weights)
    files = find_images(Path(queries), image_list)
    references = None if pairs is None else _references(Path(pairs), files, localizer)
    device = localizer.xfeat.runtime.device
    summary = Summary(str(output), device=str(device), precision=localizer.xfeat.runtime.precision.value)
    tally = Tally(summary, listener)
    tally.start(len(files))

    def work(file: ImageFile) -> Localization:
        chosen = None if references is None else references.get(file.name, [])
        return localizer.localize(file.path, chosen, without=file.name if leave_out else None, name=file.name)

    rows: list[dict[str, Any]] = []
    try:
        with closing(in_order(work, files, (workers or usable_cores()) if device.type == "cpu" else 1)) as done:
            for file, future in done:
                try:
                    found = future.result()
                except ImageError as error:
                    rows.append({"name": file.name, "status": "failed", "reason": str(error)})
                    tally.add(Report(file.name, Status.FAILED, error=str(error)))
                    continue
                rows.append(_row(found))
                tally.add(_report(found))
    finally:
        # An interrupted run leaves what it has.
        _write(rows, output, text)
    summary.seconds = time.monotonic() - started
    return summary


def _references(pairs: Path, files: list[ImageFile], localizer: Localizer) -> Mapping[str, list[str]]:
    """Return the model's images of each query, whichever way round a line has them."""
    queries, mapped = {file.name for file in files}, set(localizer.images)
    references: dict[str, list[str]] = {}
    for one, two in read_pairs(pairs):
        if one in queries and two in mapped:
            references.setdefault(one, []).append(two)
        elif two in queries and one in mapped:
            references.setdefault(two, []).append(one)
    if not references:
        raise UsageError(f"{pairs} has no line of a query and an image of the model")
    return references


def _row(found: Localization) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": found.name,
        "status": "failed" if found.pose is None else "ok",
        "inliers": found.inliers,
        "matches": found.matches,
        "confidence": f"{found.confidence:.4f}",
        "intrinsics": found.intrinsics.value,
        "retrieved": len(found.retrieved),
        "seconds": f"{found.seconds:.4f}",
        "reason": found.reason,
    }
    if found.pose is not None:
        pose = found.pose
        numbers = [*pose.quaternion.tolist(), *pose.translation.tolist()]
        row.update(zip(("qw", "qx", "qy", "qz", "tx", "ty", "tz"), map(repr, numbers), strict=True))
        row["rotation_std_deg"] = f"{pose.rotation_std_deg:.6g}"
        row["position_std"] = f"{pose.position_std:.6g}"
        row["focal_px"] = f"{pose.camera.focal_px:.6g}"
    return row


def _report(found: Localization) -> Report:
    details = {"matches": found.matches, "confidence": found.confidence, "intrinsics": found.intrinsics.value}
    if found.pose is None:
        return Report(found.name, Status.FAILED, error=f"{found.name}: {found.reason}", details=details)
    pose = found.pose
    details |= {"qvec": pose.quaternion.tolist(), "tvec": pose.translation.tolist()}
    details |= {"rotation_std_deg": pose.rotation_std_deg, "position_std": pose.position_std}
    return Report(found.name, Status.OK, found.inliers, details=details)


def _write(rows: list[dict[str, Any]], output: Path, text: Path) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    poses = [
        " ".join([row["name"], *(row[key] for key in ("qw", "qx", "qy", "qz", "tx", "ty", "tz"))]) + "\n"
        for row in rows
        if row["status"] == "ok"
    ]
    try:
        write_text(output, table.getvalue())
        write_text(text, "".join(poses))
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error.strerror or error})") from None
