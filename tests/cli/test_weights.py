from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from xfeat_cli.cli.weights import app
from xfeat_cli.errors import WeightsError
from xfeat_cli.model import download, weights

from ..lighterglue_weights import as_released, random_state, write_released


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XFEAT_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server with the default weights, which stand in for the official ones."""
    folder = tmp_path / "www"
    folder.mkdir()
    shutil.copy(weights.locate("default"), folder / "stand-in.safetensors")
    data = (folder / "stand-in.safetensors").read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = download.Download("official", "https://unreachable.invalid/", blob, "stand-in.safetensors")
    monkeypatch.setattr(download, "DOWNLOADS", (entry,))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/stand-in.safetensors"
    server.shutdown()
    server.server_close()


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _json_lines(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list() -> None:
    lines = _run("list").stdout.splitlines()
    assert [weights.DEFAULT_WEIGHTS, "shipped,", "default", str(weights.locate("default"))] in map(str.split, lines)
    assert [line.split() for line in lines[-2:]] == [
        ["official", "not", "downloaded"],
        ["lighterglue", "not", "downloaded,", "matcher"],
    ]


def test_list_json() -> None:
    rows = {row["name"]: row for row in _json_lines(_run("list", "--json"))}
    path = str(weights.locate("default"))
    default = {"name": weights.DEFAULT_WEIGHTS, "path": path, "shipped": True, "default": True, "kind": "network"}
    assert rows[weights.DEFAULT_WEIGHTS] == default
    official = {"name": "official", "path": None, "shipped": False, "default": False, "kind": "network"}
    assert rows["official"] == official
    assert rows["lighterglue"] == {**official, "name": "lighterglue", "kind": "matcher"}


def test_info() -> None:
    about = weights.load("default").info
    text = _run("info", "default").stdout
    assert about.sha256 in text
    assert f"{about.parameters:,}" in text
    assert _json_lines(_run("info", "default", "--json")) == [{**vars(about), "path": str(about.path)}]


def test_info_of_unknown_weights() -> None:
    assert isinstance(_run("info", "nonsense").exception, WeightsError)


def test_download_then_use(mirror: str, cache: Path) -> None:
    first = _run("download", "official", "--url", mirror)
    assert first.exit_code == 0
    assert first.stdout == f"official: downloaded and verified: {cache / 'stand-in.safetensors'}\n"
    size = f"{weights.locate('default').stat().st_size:,}"
    assert f"stand-in.safetensors: 0 of {size} bytes" in first.stderr
    assert f"stand-in.safetensors: {size} of {size} bytes" in first.stderr
    assert len(first.stderr.splitlines()) == 5
    again = _run("download", "official")
    assert again.stdout.startswith("official: already there, verified")
    assert again.stderr == ""
    assert _json_lines(_run("info", "official", "--json"))[0]["name"] == "official"
    verified = {row["name"]: row["ok"] for row in _json_lines(_run("verify", "--json"))}
    assert verified == {entry.name: True for entry in weights.known()}
    assert "official" in verified


def test_download_on_a_terminal(mirror: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    app(["download", "official", "--url", mirror], standalone_mode=False)
    out, err = capfd.readouterr()
    assert out.startswith("official: downloaded and verified")
    assert "stand-in.safetensors:" in err
    assert "\n" not in err.strip()


def test_download_of_what_is_not_to_download() -> None:
    error = _run("download", weights.DEFAULT_WEIGHTS).exception
    assert isinstance(error, WeightsError)
    assert "official" in str(error)


def test_verify_names_every_failure_and_goes_on(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"")
    result = _run("verify", str(bad), "nonsense", "default")
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0] == f"{bad}: BAD: {bad}: the file is empty"
    assert lines[1].startswith("nonsense: BAD: no weights named")
    assert lines[2] == f"default: good, sha256 {weights.load('default').info.sha256}"
    rows = _json_lines(_run("verify", str(bad), "default", "--json"))
    assert [(row["name"], row["ok"], row["sha256"] is None) for row in rows] == [
        (str(bad), False, True),
        ("default", True, False),
    ]
    assert rows[0]["error"] == f"{bad}: the file is empty"


def test_verify_without_names_is_good_here() -> None:
    assert _run("verify").exit_code == 0


def test_a_downloaded_matcher_is_described_and_verified_as_one(
    mirror: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_released(tmp_path / "www" / "matcher.pt").read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = download.Download(
        "lighterglue", "https://unreachable.invalid/", blob, "xfeat-lighterglue.pt", download.MATCHER
    )
    monkeypatch.setattr(download, "DOWNLOADS", (entry,))
    assert _run("download", "lighterglue", "--url", mirror.replace("stand-in.safetensors", "matcher.pt")).exit_code == 0
    assert (cache / "xfeat-lighterglue.pt").read_bytes() == data
    text = _run("info", "lighterglue").stdout
    assert "matcher, for xfeat match --matcher lighterglue" in text
    assert "1,125,995" in text
    assert "refiner" not in text
    assert "cosine" not in text
    about = _json_lines(_run("info", "lighterglue", "--json"))[0]
    assert (about["name"], about["kind"], about["has_refiner"]) == ("lighterglue", "matcher", False)
    assert _run("verify", "lighterglue").stdout.startswith("lighterglue: good, sha256")
    assert weights.load_matcher("lighterglue").state.keys() == random_state().keys()
    with pytest.raises(WeightsError, match="a matcher, not a network"):
        weights.load("lighterglue")


def test_a_matcher_that_lacks_a_tensor_is_bad(tmp_path: Path) -> None:
    import torch

    state = as_released(random_state())
    del state["matcher.cross_attn.5.to_out.bias"]
    torch.save(state, tmp_path / "m.pt")
    result = _run("verify", str(tmp_path / "m.pt"))
    assert result.exit_code == 1
    assert "not weights of LighterGlue; missing: transformers.5.cross_attn.to_out.bias" in result.stdout


@pytest.mark.parametrize("command", ["list", "info", "download", "verify"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: xfeat weights {command}" in _run(command, "--help").stdout


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = """
import sys
import xfeat_cli.cli.weights
from xfeat_cli.model import weights
weights.known()
weights.locate("default")
print([name for name in ("torch", "numpy", "h5py", "safetensors", "tqdm") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
