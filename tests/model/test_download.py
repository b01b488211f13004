from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from xfeat_cli.errors import WeightsError
from xfeat_cli.files import whole_file
from xfeat_cli.model import download

BODY = bytes(range(256)) * 1024
NO_PAUSES = (0.0, 0.0)

Answer = Callable[[BaseHTTPRequestHandler], None]


def send(body: bytes, length: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def fail(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def redirect(url: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()

    return answer


GOOD = send(BODY)
TRUNCATED = send(BODY[:100_000], len(BODY))


def HANG_UP(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


class Server:
    """Gives its answers one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [GOOD]
        self.requests: list[str] = []
        lock = threading.Lock()
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    answer = script.answers[min(len(script.requests), len(script.answers) - 1)]
                    script.requests.append(self.headers["User-Agent"])
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/xfeat.pt"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def entry(server: Server, cache: Path) -> download.Download:
    blob = hashlib.sha1(b"blob %d\0" % len(BODY) + BODY).hexdigest()
    return download.Download("thing", server.url, blob, "thing.pt")


def _fetch(entry: download.Download, **options: object) -> download.Fetched:
    return download.fetch(entry, **{"pauses_s": NO_PAUSES, "timeout_s": 5.0, **options})  # type: ignore[arg-type]


def test_registry_is_https_and_pinned() -> None:
    official = download.find("official")
    assert official
    assert official.url == (
        "https://github.com/verlab/accelerated_features/raw/e92685f57f8318b18725c5c8c0bd28c7fe188d9a/weights/xfeat.pt"
    )
    assert official.git_blob == "9da942e9c7406b8add3746bf98d4b1840233cd92"
    assert all(entry.url.startswith("https://") for entry in download.DOWNLOADS)
    assert download.find("unofficial") is None


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFEAT_HOME", "/somewhere")
    assert download.cache_folder() == Path("/somewhere")
    monkeypatch.setenv("XFEAT_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert download.cache_folder().name == "xfeat"


def test_git_blob_id_is_that_of_git(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello\n")
    download.check(download.Download("a", "", "ce013625030ba8dba906f756967f9e9ca394464a", "a"), tmp_path / "a")


def test_good(server: Server, entry: download.Download, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetched = _fetch(entry, progress=lambda done, total: seen.append((done, total)))
    assert fetched == download.Fetched(cache / "thing.pt", downloaded=True)
    assert fetched.path.read_bytes() == BODY
    assert os.listdir(cache) == ["thing.pt"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert seen == sorted(seen)
    assert server.requests[0].startswith("xfeat-cli/")


def test_already_there(server: Server, entry: download.Download) -> None:
    _fetch(entry)
    assert _fetch(entry).downloaded is False
    assert len(server.requests) == 1
    assert _fetch(entry, force=True).downloaded is True
    assert len(server.requests) == 2


def test_a_wrong_file_that_is_there_is_replaced(entry: download.Download, cache: Path) -> None:
    cache.mkdir()
    (cache / "thing.pt").write_bytes(BODY[:-1])
    assert _fetch(entry).downloaded
    assert (cache / "thing.pt").read_bytes() == BODY


@pytest.mark.parametrize(
    "bad", [TRUNCATED, HANG_UP, fail(500), fail(503), fail(429)], ids=["truncated", "hang-up", "500", "503", "429"]
)
def test_failures_that_pass_are_retried(server: Server, entry: download.Download, cache: Path, bad: Answer) -> None:
    server.answers = [bad, bad, GOOD]
    assert _fetch(entry).path.read_bytes() == BODY
    assert len(server.requests) == 3
    assert os.listdir(cache) == ["thing.pt"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (TRUNCATED, f"ended after 100000 of {len(BODY)} bytes"),
        (HANG_UP, "closed connection"),
        (fail(500), "HTTP 500"),
    ],
    ids=["truncated", "hang-up", "500"],
)
def test_three_tries_then_one_message_with_the_remedy(
    server: Server, entry: download.Download, cache: Path, bad: Answer, reason: str
) -> None:
    server.answers = [bad]
    with pytest.raises(WeightsError, match=f"3 tries failed: .*{reason}") as caught:
        _fetch(entry)
    assert len(server.requests) == 3
    assert f"by hand and put it at {cache / 'thing.pt'}, or use weights=PATH" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cache.exists()


def test_pauses_grow_and_are_kept(server: Server, entry: download.Download, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    server.answers = [fail(500), fail(500), GOOD]
    download.fetch(entry)
    assert tuple(slept) == download.PAUSES_S
    assert list(download.PAUSES_S) == sorted(download.PAUSES_S)


def test_silent_server_times_out(server: Server, entry: download.Download) -> None:
    over = threading.Event()
    server.answers = [lambda handler: over.wait(10) and None]  # type: ignore[list-item]
    try:
        with pytest.raises(WeightsError, match=r"2 tries failed: .*timed out"):
            _fetch(entry, timeout_s=0.05, pauses_s=(0.0,))
    finally:
        over.set()
    assert len(server.requests) == 2


@pytest.mark.parametrize("code", [404, 403, 410])
def test_refusals_are_not_retried(server: Server, entry: download.Download, cache: Path, code: int) -> None:
    server.answers = [fail(code)]
    with pytest.raises(WeightsError, match=rf"{server.url}: HTTP {code} .*by hand"):
        _fetch(entry)
    assert len(server.requests) == 1
    assert not cache.exists()


def test_wrong_content(server: Server, entry: download.Download, cache: Path) -> None:
    server.answers = [send(b"<html>please log in</html>")]
    got = hashlib.sha1(b"blob 26\0<html>please log in</html>").hexdigest()
    with pytest.raises(WeightsError, match=f"{server.url}: .*{entry.git_blob} expected, {got} got"):
        _fetch(entry)
    assert len(server.requests) == 1
    assert not cache.exists()


def test_a_failed_download_keeps_what_was_there(server: Server, entry: download.Download, cache: Path) -> None:
    _fetch(entry)
    server.answers = [send(b"wrong")]
    with pytest.raises(WeightsError):
        _fetch(entry, force=True)
    assert os.listdir(cache) == ["thing.pt"]
    assert (cache / "thing.pt").read_bytes() == BODY


def test_server_not_there(server: Server, entry: download.Download, cache: Path) -> None:
    server.stop()
    with pytest.raises(WeightsError, match=r"3 tries failed: .*by hand and put it at .*thing\.pt") as caught:
        _fetch(entry)
    assert "\n" not in str(caught.value)
    assert not cache.exists()


def test_mirror_is_verified_too(server: Server, entry: download.Download, cache: Path) -> None:
    elsewhere = download.Download(entry.name, "https://unreachable.invalid/", entry.git_blob, entry.filename)
    assert _fetch(elsewhere, url=server.url).path.read_bytes() == BODY
    server.answers = [send(b"wrong")]
    with pytest.raises(WeightsError, match="not the thing weights"):
        _fetch(elsewhere, url=server.url, force=True)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/xfeat.pt", "xfeat.pt"])
def test_other_schemes_are_refused(entry: download.Download, url: str) -> None:
    with pytest.raises(WeightsError, match="only https and http"):
        _fetch(entry, url=url)


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:port/x", "https://a b/"])
def test_malformed_addresses(entry: download.Download, url: str) -> None:
    with pytest.raises(WeightsError, match="not an address"):
        _fetch(entry, url=url)


def test_redirects_are_followed_but_never_out_of_https(server: Server, entry: download.Download) -> None:
    server.answers = [redirect(server.url), GOOD]
    assert _fetch(entry).path.read_bytes() == BODY
    request = download.urllib.request.Request("https://example.org/xfeat.pt")
    follow = download._KeepHttps().redirect_request
    assert follow(request, None, 302, "Found", {}, "https://other.example/xfeat.pt")  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="not https"):
        follow(request, None, 302, "Found", {}, server.url)  # type: ignore[arg-type]


@pytest.mark.parametrize("announced", [True, False])
def test_size_cap(
    server: Server, entry: download.Download, cache: Path, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    def unannounced(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)

    seen: list[int] = []
    monkeypatch.setattr(download, "MAX_BYTES", len(BODY) // 2)
    server.answers = [GOOD if announced else unannounced]
    with pytest.raises(WeightsError, match="more than"):
        _fetch(entry, progress=lambda done, _: seen.append(done))
    assert len(server.requests) == 1
    assert max(seen) < len(BODY), "it went on reading"
    monkeypatch.setattr(download, "MAX_BYTES", len(BODY))
    assert _fetch(entry).path.read_bytes() == BODY


def test_downloads_at_the_same_time(server: Server, entry: download.Download, cache: Path) -> None:
    together = threading.Barrier(4)

    def all_at_once(handler: BaseHTTPRequestHandler) -> None:
        together.wait(10)
        GOOD(handler)

    server.answers = [all_at_once]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: _fetch(entry), range(4)))
    assert [fetched.downloaded for fetched in results] == [True] * 4
    assert os.listdir(cache) == ["thing.pt"]
    assert (cache / "thing.pt").read_bytes() == BODY


def test_cache_folder_that_cannot_be_written(entry: download.Download, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot be written: .*set XFEAT_HOME"):
        _fetch(entry)


def test_whole_file_leaves_nothing_behind_when_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with whole_file(path, kind=None) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
