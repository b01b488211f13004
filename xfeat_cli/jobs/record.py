"""stages.json in the folder of a reconstruction: what each stage was made with and of, and what came out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from xfeat_cli.errors import StoreError
from xfeat_cli.files import write_text

_BYTES = 8


@dataclass(frozen=True)
class Entry:
    """What a stage left. key: digest of its options and inputs. result, problems: as in its summary."""

    key: str
    result: dict[str, Any]
    problems: list[str] = field(default_factory=list)


class Record:
    """The stages of one folder. Raises StoreError when the file cannot be read or written."""

    def __init__(self, path: Path, *, start_again: bool = False) -> None:
        self._path = path
        self._entries = {} if start_again else self._read()
        self._write()

    def entry(self, stage: str) -> Entry | None:
        return self._entries.get(stage)

    def put(self, stage: str, entry: Entry) -> None:
        self._entries[stage] = entry
        self._write()

    def forget(self, stage: str) -> None:
        if self._entries.pop(stage, None) is not None:
            self._write()

    def _read(self) -> dict[str, Entry]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                str(name): Entry(str(entry["key"]), dict(entry["result"]), [*map(str, entry["problems"])])
                for name, entry in content["stages"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{self._path} cannot be read ({error!r}); use overwrite=True to start again") from None

    def _write(self) -> None:
        stages = {
            name: {"key": entry.key, "result": entry.result, "problems": entry.problems}
            for name, entry in self._entries.items()
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps({"stages": stages}, indent=1))
        except OSError as error:
            raise StoreError(f"{self._path.parent} cannot be written ({error.strerror or error})") from None


def key_of(**parts: Any) -> str:
    """Digest of options and inputs: equal for equal values, whatever the order of their names."""
    return hashlib.blake2b(json.dumps(_plain(parts), sort_keys=True).encode(), digest_size=_BYTES).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_plain, value)]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, PurePath) else value
