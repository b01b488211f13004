"""Without pycolmap, one clear error."""

from __future__ import annotations

import sys

import pytest

from xfeat_cli.errors import SfmError
from xfeat_cli.sfm.engine import pycolmap


@pytest.fixture(autouse=True)
def _fresh():  # type: ignore[no-untyped-def]
    pycolmap.cache_clear()
    yield
    pycolmap.cache_clear()


def test_a_missing_pycolmap_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(SfmError, match=r"pip install 'xfeat-cli\[sfm\]'"):
        pycolmap()


def test_an_old_pycolmap_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    old = type(sys)("pycolmap")
    old.__version__ = "3.11.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycolmap", old)
    with pytest.raises(SfmError, match=r"3\.11\.1 is too old"):
        pycolmap()
