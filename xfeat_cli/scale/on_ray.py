"""`extract` and `match` on a Ray cluster: the same arguments, the same result, whatever the number of workers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xfeat_cli.config import Decoding, ExtractConfig, MatchConfig
from xfeat_cli.images import find_images, image_root
from xfeat_cli.jobs.match import in_reading_order
from xfeat_cli.jobs.progress import Listener, Summary, Tally
from xfeat_cli.machine.devices import resolve_device, resolve_precision
from xfeat_cli.model.calibration import choose
from xfeat_cli.model.weights import load
from xfeat_cli.pairing.lists import read_pairs, unique
from xfeat_cli.scale.merge import merge
from xfeat_cli.scale.ray_engine import Cluster, PieceRunner, check_complete, connect
from xfeat_cli.scale.work import ExtractWork, MatchWork, Work
from xfeat_cli.store.pieces import PieceFolder, cut, pieces_folder
from xfeat_cli.types import Pair

IMAGES_A_PIECE, PAIRS_A_PIECE = 256, 4096
"""Some twenty seconds of a core: little is lost with a worker, and starting a piece costs little beside it."""


def extract_on_ray(
    images: str | Path | Sequence[str | Path],
    output: str | Path,
    config: ExtractConfig | None = None,
    *,
    address: str,
    image_list: Iterable[str] | None = None,
    masks: str | Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    note: Callable[[str], None] = lambda text: None,
    piece_size: int = IMAGES_A_PIECE,
    **options: Any,
) -> Summary:
    """Extract features as `extract` does, on all nodes of a Ray cluster.

    The precision and the backend are chosen here, for all workers. A run that was interrupted goes on where it stopped.

    Args:
        images, output, config, image_list, masks, overwrite, listener, options: as `extract` takes them; every node
            must see these paths.
        address: of the cluster; `local` = start Ray on this machine.
        workers: most workers; None = one for each core, or GPU.
        note: gets a line when a worker dies or a piece is tried again.
        piece_size: images that a worker does at once.

    Returns:
        What was done, as `extract` says it.

    Raises:
        UsageError: Ray is missing, does not answer, or a node lacks the files or has another version of xfeat.
        StoreError: pieces failed three times; the others are kept.
        XFeatError: as `extract` does.
    """
    paths = [Path(images)] if isinstance(images, (str, Path)) else [Path(path) for path in images]
    mask_folder = None if masks is None else Path(masks).absolute()
    names = [file.name for file in find_images(paths, image_list, mask_folder)]
    config = replace(config or ExtractConfig(), **options)

    def work(cluster: Cluster) -> Work:
        fixed = _on(cluster, config)
        return ExtractWork(image_root(paths).absolute(), fixed, mask_folder, overwrite)

    use_gpus = config.device.startswith(("auto", "cuda"))
    return _run(work, names, Path(output), address, workers, use_gpus, overwrite, listener, note, piece_size)


def match_on_ray(
    pairs: str | Path | Iterable[Pair],
    features: str | Path,
    output: str | Path,
    config: MatchConfig | None = None,
    *,
    address: str,
    workers: int | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    note: Callable[[str], None] = lambda text: None,
    piece_size: int = PAIRS_A_PIECE,
    **options: Any,
) -> Summary:
    """Match pairs as `match` does, on all nodes of a Ray cluster; as `extract_on_ray`."""
    listed = read_pairs(Path(pairs)) if isinstance(pairs, (str, Path)) else unique(pairs)
    items = ["\t".join(pair) for pair in in_reading_order(listed)]
    config = replace(config or MatchConfig(), **options)

    def work(cluster: Cluster) -> Work:
        device = resolve_device("cuda" if cluster.gpus else "cpu")
        fixed = replace(config, device=device.type, precision=resolve_precision(config.precision, device))
        return MatchWork(Path(features).absolute(), fixed, overwrite)

    use_gpus = config.device.startswith(("auto", "cuda"))
    return _run(work, items, Path(output), address, workers, use_gpus, overwrite, listener, note, piece_size)


def _run(
    work: Callable[[Cluster], Work],
    items: list[str],
    output: Path,
    address: str,
    workers: int | None,
    use_gpus: bool,
    overwrite: bool,
    listener: Listener | None,
    note: Callable[[str], None],
    piece_size: int,
) -> Summary:
    started = time.monotonic()
    folder = PieceFolder(pieces_folder(output.absolute()))
    slices = cut(items, max(1, math.ceil(len(items) / piece_size)))
    with connect(address, workers, use_gpus) as cluster:
        job = work(cluster)
        folder.claim(job.kind, items, slices, overwrite=overwrite)
        summary = Summary(str(output), device=f"ray, {cluster.slots} workers", precision=job.config.precision.value)
        tally = Tally(summary, listener)
        tally.start(len(items))
        failed = PieceRunner(cluster, job, folder.folder, items, note).run(slices, tally)
    check_complete(folder.folder, failed)
    merge(output, folder.folder, overwrite=overwrite)
    summary.seconds = time.monotonic() - started
    return summary


def _on(cluster: Cluster, config: ExtractConfig) -> ExtractConfig:
    """Return the options with device, precision and backend decided for every worker alike."""
    device = resolve_device("cuda" if cluster.gpus else "cpu")
    if config.decoding is Decoding.REFERENCE:
        return replace(config, device=device.type)
    way = choose(load(config.weights), device, config.precision, config.backend)
    return replace(config, device=device.type, precision=way.precision, backend=way.backend)
