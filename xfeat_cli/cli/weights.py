"""`xfeat weights`: what weights there are, what is in them, get them, check them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xfeat_cli.cli.help import App
from xfeat_cli.errors import WeightsError

if TYPE_CHECKING:
    from xfeat_cli.model.weights import WeightsInfo

app = App(no_args_is_help=True, help="Weights: list, describe, download, verify.")

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, for programs.")]


@app.command("list")
def list_weights(as_json: JsonOption = False) -> None:
    """List the weights that have a name: shipped with xfeat, or downloaded.

    Example: xfeat weights list
    """
    from xfeat_cli.model import weights
    from xfeat_cli.model.download import MATCHER

    for entry in weights.known():
        if as_json:
            _print_json(vars(entry))
            continue
        origin = "shipped" if entry.shipped else "downloaded" if entry.path else "not downloaded"
        origin += ", default" if entry.default else ", matcher" if entry.kind == MATCHER else ""
        typer.echo(f"{entry.name:16} {origin:23} {entry.path or ''}".rstrip())


@app.command()
def info(
    weights_name: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A name from `xfeat weights list`, or a file.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Describe weights: file, sha256, size, threshold, metadata.

    Example: xfeat weights info default
    """
    from xfeat_cli.model import weights
    from xfeat_cli.model.download import MATCHER, NETWORK

    about = weights.describe(weights_name)
    if as_json:
        _print_json(vars(about))
        return
    rows = {
        "name": about.name,
        "path": str(about.path),
        "sha256": about.sha256,
        "kind": "matcher, for xfeat match --matcher lighterglue" if about.kind == MATCHER else about.kind,
        "parameters": f"{about.parameters:,}",
    }
    if about.kind == NETWORK:
        rows["refiner"] = "yes" if about.has_refiner else "no (sparse only)"
        rows["min cosine"] = str(about.min_cossim)
    rows |= {f"metadata: {key}": value for key, value in sorted(about.metadata.items())}
    for key, value in rows.items():
        typer.echo(f"{key:24} {value}")


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(help="What the authors released: official (XFeat), or lighterglue (its matcher).")
    ],
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="A mirror; the content is verified all the same.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Download again, even if the file is there.")] = False,
) -> None:
    """Download weights into the cache folder ($XFEAT_HOME overrides it) and verify them.

    Example: xfeat weights download official
    """
    from xfeat_cli.model import download as downloads

    entry = downloads.find(name)
    if entry is None:
        names = ", ".join(entry.name for entry in downloads.DOWNLOADS)
        raise WeightsError(f"nothing to download under the name {name!r}; there is: {names}")
    with _progress(entry.filename) as progress:
        fetched = downloads.fetch(entry, url=url, force=force, progress=progress)
    typer.echo(
        f"{name}: {'downloaded and verified' if fetched.downloaded else 'already there, verified'}: {fetched.path}"
    )


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME|PATH...", help="What to check; without it, all named weights that are here."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check weights: readable, the right tensors, finite, and the published checksum where there is one.

    Exit code 1 if any fails.

    Example: xfeat weights verify
    """
    from xfeat_cli.model import weights

    failures = 0
    for name in names or [entry.name for entry in weights.known() if entry.path]:
        about, error = _verified(weights.verify, name)
        failures += error is not None
        if as_json:
            _print_json({"name": name, "ok": error is None, "error": error, "sha256": about.sha256 if about else None})
        elif about:
            typer.echo(f"{name}: good, sha256 {about.sha256}")
        else:
            typer.echo(f"{name}: BAD: {error}")
    if failures:
        raise typer.Exit(1)


def _verified(verify: Callable[[str], WeightsInfo], name: str) -> tuple[WeightsInfo | None, str | None]:
    try:
        return verify(name), None
    except WeightsError as error:
        return None, str(error)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Report a download on stderr: a bar on a terminal, else a line at each quarter."""
    if sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        yield _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    from tqdm import tqdm

    with tqdm(desc=title, unit="B", unit_scale=True, leave=False) as bar:

        def report(done: int, total: int | None) -> None:
            if done == 0:
                bar.reset(total)
            bar.update(done - bar.n)

        yield report


def _lines(title: str) -> Callable[[int, int | None], None]:
    seen: set[int] = set()

    def report(done: int, total: int | None) -> None:
        if done == 0:
            seen.clear()
        quarter = 4 * done // total if total else 0
        if quarter not in seen:
            seen.add(quarter)
            typer.echo(f"{title}: {done:,} of {f'{total:,}' if total else 'unknown'} bytes", err=True)

    return report


def _print_json(values: dict[str, Any]) -> None:
    typer.echo(json.dumps(values, default=str, ensure_ascii=False))
