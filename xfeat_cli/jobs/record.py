"""stages.json in the folder of a reconstruction: what each stage was made with and of, and what came out.

It is also what shows that a folder is a reconstruction's: no other folder's files are ever replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from xfeat_cli.errors import StoreError, UsageError
from xfeat_cli.files import write_text

NAME = "stages.json"

_BYTES = 8
_BLOCK = 1 << 20


@dataclass(frozen=True)
class FileState:
    """What a file was when a stage had made it. digest: BLAKE2b of its content, hexadecimal."""

    size: int
    mtime_ns: int
    digest: str

    @staticmethod
    def of(path: Path) -> FileState:
        """Return the digest of a file as it is. Raises OSError."""
        stat = path.stat()
        return FileState(stat.st_size, stat.st_mtime_ns, _digest(path))

    def holds(self, path: Path) -> bool:
        """Return whether a file is there as it was."""
        try:
            stat = path.stat()
            if not path.is_file() or stat.st_size != self.size:
                return False
            return stat.st_mtime_ns == self.mtime_ns or _digest(path) == self.digest
        except OSError:
            return False


@dataclass(frozen=True)
class Entry:
    """What a stage left. key: digest of its options and inputs. result, problems: as in its summary.

    files: by name within the folder; None while the stage is at work, or when it was interrupted.
    """

    key: str
    result: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    files: dict[str, FileState] | None = None


class Record:
    """The stages of one folder. Raises StoreError when the file cannot be read or written.

    images: the folder of photographs, or the video, that the stages were made of, empty in a new record.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.images = ""
        self._entries: dict[str, Entry] = {}
        self._read()

    def entry(self, stage: str) -> Entry | None:
        return self._entries.get(stage)

    def is_intact(self, stage: str) -> bool:
        """Return whether a stage is finished and its files are as it left them."""
        entry = self._entries.get(stage)
        if entry is None or entry.files is None:
            return False
        return all(state.holds(self._folder / name) for name, state in entry.files.items())

    def begin(self, stage: str, key: str) -> None:
        """A stage starts to change its files."""
        self._put(stage, Entry(key))

    def finish(self, stage: str, key: str, result: dict[str, Any], problems: list[str], files: Iterable[Path]) -> None:
        """A stage has made its files."""
        before = self._entries.get(stage)
        states = {}
        try:
            for path in files:
                name = path.relative_to(self._folder).as_posix()
                known = (before.files or {}).get(name) if before is not None else None
                states[name] = known if known is not None and known.holds(path) else FileState.of(path)
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be read ({error.strerror or error})") from None
        self._put(stage, Entry(key, result, problems, states))

    def start(self, images: str) -> None:
        """Say which photographs or video the stages are of from now on; the file is there afterwards."""
        self.images = images
        self._write()

    def _put(self, stage: str, entry: Entry) -> None:
        if self._entries.get(stage) != entry:
            self._entries[stage] = entry
            self._write()

    def _read(self) -> None:
        try:
            content = json.loads((self._folder / NAME).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # a damaged record: every stage finds out what it has
            return
        except OSError as error:
            raise StoreError(f"{self._folder / NAME} cannot be read ({error.strerror or error})") from None
        stages = content.get("stages") if isinstance(content, dict) else None
        if not isinstance(stages, dict):
            return
        self.images = str(content.get("images", ""))
        for name, entry in stages.items():
            try:
                self._entries[name] = Entry(
                    str(entry["key"]), dict(entry["result"]), [*entry["problems"]], _states(entry["files"])
                )
            except (KeyError, TypeError, ValueError, AttributeError):  # of an older version, or damaged
                continue

    def _write(self) -> None:
        stages = {name: asdict(entry) for name, entry in self._entries.items()}
        content = {"made_by": "xfeat sfm", "images": self.images, "stages": stages}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_text(self._folder / NAME, json.dumps(content, indent=1))
        except OSError as error:
            raise StoreError(f"{self._folder / NAME} cannot be written ({error.strerror or error})") from None


def _states(files: Any) -> dict[str, FileState] | None:
    return None if files is None else {name: FileState(**state) for name, state in files.items()}


def check_folder(folder: Path, names: Iterable[str]) -> None:
    """Raise UsageError for a folder that a reconstruction would damage: it holds some of `names` but no record."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the reconstruction")
    if _is_ours(folder):
        return
    foreign = sorted(name for name in names if (folder / name).exists() or (folder / name).is_symlink())
    if foreign:
        raise UsageError(
            f"{folder} holds {', '.join(foreign)}, which `xfeat sfm` did not make, so it is left alone; "
            "name another folder"
        )


def _is_ours(folder: Path) -> bool:
    """A record that was cut off or emptied is still one where the lock of its writers stands beside it."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return isinstance(content, dict) and isinstance(content.get("stages"), dict)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return (folder / f".{NAME}.lock").exists()


def key_of(**parts: Any) -> str:
    """Return digest of options and inputs: equal for equal values, whatever the order of their names."""
    return hashlib.blake2b(json.dumps(_plain(parts), sort_keys=True).encode(), digest_size=_BYTES).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_plain, value)]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, PurePath) else value


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
