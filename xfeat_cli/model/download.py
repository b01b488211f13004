"""Downloads of weights that we may use but do not ship: into a cache folder, verified, whole or not at all.

A file is fetched into memory (they are small, and capped), verified by its git blob id, and only then written, through
a temporary file in the same folder. So neither a broken connection, nor a killed process, nor a second download at the
same time can leave a wrong file under the name that counts.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs

from xfeat_cli.errors import WeightsError
from xfeat_cli.files import whole_file
from xfeat_cli.version import __version__

logger = logging.getLogger(__name__)

NETWORK, MATCHER = "network", "matcher"

MATCHER_WEIGHTS = "lighterglue"
"""The name of the matcher's weights unless others are given."""

MAX_BYTES = 64 * 2**20
PAUSES_S = (1.0, 3.0)
TIMEOUT_S = 30.0

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have arrived, and with those to come in all if the server says; a retry starts at 0."""


@dataclass(frozen=True)
class Download:
    """One file on the net.

    git_blob: sha1 of `b"blob <size>\\0"` + bytes, as 40 hex digits: what git calls the file.
    filename: its name in the cache folder; the suffix says how it is read.
    kind: `network` for XFeat's weights, `matcher` for LighterGlue's.
    """

    name: str
    url: str
    git_blob: str
    filename: str
    kind: str = NETWORK


_AUTHORS = "https://github.com/verlab/accelerated_features/raw/e92685f57f8318b18725c5c8c0bd28c7fe188d9a/weights"

DOWNLOADS = (
    Download("official", f"{_AUTHORS}/xfeat.pt", "9da942e9c7406b8add3746bf98d4b1840233cd92", "xfeat.pt"),
    Download(
        "lighterglue",
        f"{_AUTHORS}/xfeat-lighterglue.pt",
        "061e168b4d9db6b086172f247c8adcebb76d7ef8",
        "xfeat-lighterglue.pt",
        MATCHER,
    ),
)


@dataclass(frozen=True)
class Fetched:
    """Where the verified file lies; `downloaded` is False when it was there already."""

    path: Path
    downloaded: bool


class _TryAgain(Exception):
    """This attempt failed in a way that may pass."""


def cache_folder() -> Path:
    """Return $XFEAT_HOME, else the user's cache folder for xfeat. It need not exist yet."""
    home = os.environ.get("XFEAT_HOME")
    return Path(home) if home else platformdirs.user_cache_path("xfeat")


def find(name: str) -> Download | None:
    return next((entry for entry in DOWNLOADS if entry.name == name), None)


def cached_path(entry: Download) -> Path:
    """Return where the file lies once it is downloaded."""
    return cache_folder() / entry.filename


def check(entry: Download, path: Path) -> None:
    """Raise WeightsError unless `path` holds exactly the bytes of this download."""
    try:
        got = _git_blob_id(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if got != entry.git_blob:
        raise WeightsError(
            f"{path}: not the {entry.name} weights: git blob id {entry.git_blob} expected, {got} found; "
            f"get them again with `xfeat weights download {entry.name}`"
        )


def fetch(
    entry: Download,
    *,
    url: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    pauses_s: Sequence[float] = PAUSES_S,
    timeout_s: float = TIMEOUT_S,
) -> Fetched:
    """Download a file into the cache folder, unless it is there already and verified.

    url: a mirror to use instead of `entry.url`; the content is verified all the same, so plain http will do.
    force: download again even so.
    pauses_s: seconds to wait before each further try; there is one try more than there are pauses.
    timeout_s: longest silence of the server, not the time of the whole download.
    Raises WeightsError with the remedy; whatever was in the cache folder before is then still there, unchanged.
    """
    path = cached_path(entry)
    if not force and _is_verified(entry, path):
        return Fetched(path, downloaded=False)
    source = url or entry.url
    if not source.lower().startswith(("https://", "http://")):
        raise WeightsError(f"{source}: only https and http addresses can be downloaded")
    data = _get_patiently(source, entry, path, progress, pauses_s, timeout_s)
    got = _git_blob_id(data)
    if got != entry.git_blob:
        raise WeightsError(
            f"{source}: not the {entry.name} weights: git blob id {entry.git_blob} expected, "
            f"{got} got ({len(data)} bytes); nothing was kept. {_by_hand(entry, path)}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, kind=None) as file:
            file.write(data)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be written: {error.strerror or error}; set XFEAT_HOME to a folder that can be written"
        ) from error
    return Fetched(path, downloaded=True)


def _get_patiently(
    url: str,
    entry: Download,
    path: Path,
    progress: Progress | None,
    pauses_s: Sequence[float],
    timeout_s: float,
) -> bytes:
    tries = len(pauses_s) + 1
    for attempt in range(1, tries + 1):
        try:
            return _get(url, progress, timeout_s)
        except urllib.error.HTTPError as error:
            raise WeightsError(f"{url}: HTTP {error.code} {error.reason}. {_by_hand(entry, path)}") from error
        except _TryAgain as error:
            reason = str(error)
        if attempt < tries:
            logger.warning("%s: %s; try %d of %d follows", url, reason, attempt + 1, tries)
            time.sleep(pauses_s[attempt - 1])
    raise WeightsError(f"{url}: cannot be downloaded, {tries} tries failed: {reason}. {_by_hand(entry, path)}")


def _get(url: str, progress: Progress | None, timeout_s: float) -> bytes:
    """Return one try. Raises _TryAgain, HTTPError for an answer that will not change, or WeightsError for too long a
    body.
    """
    opener = urllib.request.build_opener(_KeepHttps)
    data = bytearray()
    try:
        request = urllib.request.Request(url, headers={"User-Agent": f"xfeat-cli/{__version__}"})
        with opener.open(request, timeout=timeout_s) as response:
            total: int | None = response.length
            if progress:
                progress(0, total)
            while len(data) <= MAX_BYTES and (chunk := response.read1(2**16)):
                data += chunk
                if progress:
                    progress(len(data), total)
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code in (408, 429):
            raise _TryAgain(f"HTTP {error.code} {error.reason}") from error
        raise
    except (ValueError, http.client.InvalidURL) as error:
        raise WeightsError(f"{url}: not an address: {error}") from error
    except urllib.error.URLError as error:
        raise _TryAgain(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(str(error) or type(error).__name__) from error
    if len(data) > MAX_BYTES:
        raise WeightsError(f"{url}: more than {MAX_BYTES >> 20} MiB, so these are not weights of xfeat")
    if total is not None and len(data) < total:
        raise _TryAgain(f"the connection ended after {len(data)} of {total} bytes")
    return bytes(data)


class _KeepHttps(urllib.request.HTTPRedirectHandler):
    """Follow redirections, except from https to anything less."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https://"):
            raise WeightsError(f"{req.full_url}: leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_verified(entry: Download, path: Path) -> bool:
    try:
        check(entry, path)
    except WeightsError:
        return False
    return True


def _git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _by_hand(entry: Download, path: Path) -> str:
    return f"Download {entry.url} by hand and put it at {path}, or use weights=PATH with a file you have"
