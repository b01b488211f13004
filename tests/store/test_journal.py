"""The journal's promise, at every possible moment of a crash."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xfeat_cli.errors import StoreError
from xfeat_cli.store import journal
from xfeat_cli.store.journal import PAGE, JournaledFile, JournalError, journal_path, recover
from xfeat_cli.store.layout import partial_path
from xfeat_cli.store.writer import Store

Disk = dict[str, bytes]


class Recorder:
    """Records what `journal` does to the files of a folder, and what they would hold had the machine died meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.start: Disk = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.steps: list[tuple] = []
        self._names: dict[int, str] = {}
        for name in ("_open", "_write_at", "_truncate", "_sync", "durable_rename", "_remove"):
            original = getattr(journal, name)
            replacement = self._recording(original, getattr(self, f"_on{name.removeprefix('durable')}"))
            monkeypatch.setattr(journal, name, replacement)
        monkeypatch.setattr("xfeat_cli.store.writer.durable_rename", journal.durable_rename)

    def _recording(self, original: Callable, note: Callable) -> Callable:
        def recorded(*arguments):
            result = original(*arguments)
            note(result, *arguments)
            return result

        return recorded

    def _on_open(self, fd: int, path: Path, flags: int) -> None:
        self._names[fd] = path.name
        if flags & os.O_CREAT:
            self.steps.append(("create", path.name))

    def _on_write_at(self, _, fd: int, offset: int, data: memoryview) -> None:
        self.steps.append(("write", self._names[fd], offset, bytes(data)))

    def _on_truncate(self, _, fd: int, size: int) -> None:
        self.steps.append(("truncate", self._names[fd], size))

    def _on_sync(self, _, fd: int) -> None:
        self.steps.append(("sync", self._names[fd]))

    def _on_rename(self, _, source: Path, target: Path) -> None:
        self.steps.append(("rename", source.name, target.name))

    def _on_remove(self, _, path: Path) -> None:
        self.steps.append(("remove", path.name))

    def killed_after(self, count: int, torn: bool) -> Disk:
        """The process dies: what it wrote stays. torn: only half of the step after the last is done."""
        steps = self.steps[:count]
        if torn and count < len(self.steps) and self.steps[count][0] == "write":
            _, name, offset, data = self.steps[count]
            steps = [*steps, ("write", name, offset, data[: len(data) // 2])]
        return self._played(steps, lambda: True)

    def powered_off_after(self, count: int, rng: random.Random, kept: float) -> Disk:
        """The machine dies: of the steps that were not synced, only a share `kept` reached the disk, at random."""
        return self._played(self.steps[:count], lambda: rng.random() < kept)

    def _played(self, steps: list[tuple], reaches_disk: Callable[[], bool]) -> Disk:
        synced: list[bool] = [False] * len(steps)
        unsynced: dict[str, list[int]] = {}
        for index, (kind, name, *rest) in enumerate(steps):
            if kind == "sync":
                for earlier in unsynced.pop(name, []):
                    synced[earlier] = True
            elif kind in ("write", "truncate"):
                unsynced.setdefault(name, []).append(index)
            elif kind == "rename" and name in unsynced:
                unsynced[rest[0]] = unsynced.pop(name)
        disk = {name: bytearray(content) for name, content in self.start.items()}
        for step, safe in zip(steps, synced, strict=True):
            kind, name, *rest = step
            if kind == "create":
                disk.setdefault(name, bytearray())
            elif kind == "rename":
                disk[rest[0]] = disk.pop(name)
            elif kind == "remove":
                disk.pop(name, None)
            elif kind == "truncate" and (safe or reaches_disk()):
                del disk[name][rest[0] :]
                disk[name].extend(bytes(rest[0] - len(disk[name])))
            elif kind == "write" and (safe or reaches_disk()):
                offset, data = rest
                disk[name].extend(bytes(max(0, offset - len(disk[name]))))
                disk[name][offset : offset + len(data)] = data
        return {name: bytes(content) for name, content in disk.items()}

    def every_crash(self) -> list[tuple[int, Disk]]:
        """(steps done, what the disk then holds), for every step and several kinds of death."""
        rng = random.Random(7)
        crashes = []
        for count in range(len(self.steps) + 1):
            crashes += [(count, self.killed_after(count, torn)) for torn in (False, True)]
            crashes += [(count, self.powered_off_after(count, rng, kept)) for kept in (0.0, 0.5, 0.5)]
        return crashes


def without_syncing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restoring hundreds of crashed disks need not wait for a real one."""
    monkeypatch.undo()
    monkeypatch.setattr(journal, "_sync", lambda fd: None)
    monkeypatch.setattr("xfeat_cli.files.sync_folder", lambda folder: None)


def restored(disk: Disk, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in disk.items():
        (folder / name).write_bytes(content)
    return folder


def random_changes(file: JournaledFile, model: bytearray, rng: random.Random) -> None:
    """Some writes and reads that a file in memory gets as well."""
    for _ in range(rng.randrange(1, 6)):
        start = rng.randrange(0, len(model) + 3000)
        data = rng.randbytes(rng.choice((1, 100, PAGE, 9000)))
        file.seek(start)
        assert file.write(data) == len(data)
        model.extend(bytes(max(0, start - len(model))))
        model[start : start + len(data)] = data
        low = rng.randrange(0, len(model))
        buffer = bytearray(rng.randrange(1, 20_000))
        file.seek(low)
        count = file.readinto(buffer)
        assert buffer[:count] == model[low : low + len(buffer)]
    assert file.size == len(model) == file.seek(0, os.SEEK_END)


def test_reads_see_writes_and_commits_survive(tmp_path: Path) -> None:
    rng = random.Random(1)
    path = tmp_path / "file"
    model = bytearray()
    file = JournaledFile.create(path)
    for round_number in range(60):
        random_changes(file, model, rng)
        file.commit()
        if round_number % 7 == 0:
            file.close()
            file = JournaledFile.open(path)
    file.finish()
    assert path.read_bytes() == model
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_uncommitted_changes_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = JournaledFile.create(path)
    file.write(b"a" * 10_000)
    file.commit()
    file.seek(5)
    file.write(b"b" * 20_000)
    file.close()
    file = JournaledFile.open(path)
    assert file.size == 10_000
    assert file.read(20_000) == b"a" * 10_000
    file.close()


def test_appended_data_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch, tmp_path)
    file = JournaledFile.create(tmp_path / "file")
    for _ in range(10):
        file.write(bytes(100_000))
        file.commit()
    file.finish()
    assert sum(len(step[3]) for step in recorder.steps if step[0] == "write") < 1_001_500


def test_size_never_falls_below_the_committed_one(tmp_path: Path) -> None:
    file = JournaledFile.create(tmp_path / "file")
    file.write(b"a" * 100)
    file.commit()
    file.write(b"b" * 100)
    assert file.truncate(150) == 150
    assert file.truncate(10) == 100
    file.finish()
    assert (tmp_path / "file").read_bytes() == b"a" * 100


def test_writing_what_is_there_already_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100)
    file = JournaledFile.open(path)
    file.write(b"a" * 50)
    file.commit()
    file.close()
    assert not journal_path(path).exists()


@pytest.mark.parametrize("seed", range(3))
def test_every_crash_leaves_exactly_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "file").write_bytes(b"stale" * 1000)
    recorder = Recorder(monkeypatch, folder)
    model = bytearray()
    commits: list[tuple[int, int, bytes]] = []  # steps before it, steps after it, content
    file = JournaledFile.create(folder / "file")
    created = len(recorder.steps)
    for _ in range(4):
        random_changes(file, model, rng)
        before = len(recorder.steps)
        file.commit()
        commits.append((before, len(recorder.steps), bytes(model)))
    random_changes(file, model, rng)
    before = len(recorder.steps)
    file.finish()
    commits.append((before, len(recorder.steps), bytes(model)))
    without_syncing(monkeypatch)

    seen = set()
    for count, disk in recorder.every_crash():
        path = restored(disk, tmp_path / "after") / "file"
        file_now = JournaledFile.open(path)
        content = file_now.read(1 << 20)
        file_now.close()
        assert path.read_bytes() == content
        possible = [content for before, after, content in commits if before <= count <= after]
        done = [content for _, after, content in commits if after <= count]
        possible.append(done[-1] if done else b"")
        if count < created:
            possible.append(b"stale" * 1000)
        assert content in possible, f"crash after step {count} of {len(recorder.steps)}"
        seen.add(content)
    assert {content for _, _, content in commits} <= seen


def entries_of(path: Path) -> dict[str, tuple[list[int], int]]:
    store = Store.open(path, "features", {"seed": 1})
    found = {
        name: (store._h5[name]["keypoints"][()].ravel().tolist(), store.attributes(name)["round"])
        for name in store.names()
    }
    store.close()
    return found


def test_every_crash_of_a_store_leaves_exactly_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    out = folder / "out.h5"
    recorder = Recorder(monkeypatch, folder)
    model: dict[str, tuple[list[int], int]] = {}
    commits: list[tuple[int, int, dict]] = []

    def job(first: int) -> None:
        before = len(recorder.steps)
        store = Store.open(out, "features", {"seed": 1}, commit_seconds=1e9)
        commits.append((before, len(recorder.steps), dict(model)))
        for number in range(first, first + 3):
            for name in (f"a/{number}.jpg", "replaced.jpg"):
                values = np.full((number * 50, 2), number, np.float32)
                store.put(name, {"keypoints": values, "more": values}, {"round": number})
                model[name] = (values.ravel().tolist(), number)
            if number == first + 2:
                break
            before = len(recorder.steps)
            store.commit()
            commits.append((before, len(recorder.steps), dict(model)))
        store.remove("replaced.jpg")
        del model["replaced.jpg"]
        before = len(recorder.steps)
        store.finish()
        commits.append((before, len(recorder.steps), dict(model)))

    job(1)
    job(4)  # extends the finished file
    without_syncing(monkeypatch)

    for count, disk in recorder.every_crash():
        out = restored(disk, tmp_path / "after") / "out.h5"
        assert out.exists() or count < len(recorder.steps)
        found = entries_of(out)
        possible = [state for before, after, state in commits if before <= count <= after]
        done = [state for _, after, state in commits if after <= count]
        possible.append(done[-1] if done else {})
        assert found in possible, f"crash after step {count} of {len(recorder.steps)}: {sorted(found)}"


def test_every_failing_write_leaves_exactly_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at any write: a StoreError that names the file, and nothing committed is lost."""
    write_at = journal._write_at
    values = np.arange(4000, dtype=np.float32).reshape(-1, 2)
    failures = 0
    for allowed in range(3, 200):
        out = tmp_path / str(allowed) / "out.h5"
        left = [allowed]

        def limited(fd: int, offset: int, view: memoryview, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                write_at(fd, offset, view[: len(view) // 2])
                raise OSError(28, "No space left on device")
            write_at(fd, offset, view)

        monkeypatch.setattr(journal, "_write_at", limited)
        committed: set[str] = set()
        committing: set[str] = set()
        try:
            with Store.open(out, "features", {"seed": 1}, commit_seconds=1e9) as store:
                for number in range(6):
                    store.put(f"{number}.jpg", {"keypoints": values}, {"round": number})
                    if number % 2:
                        committing = store.names()
                        store.commit()
                        committed = committing
                committing = store.names()
                store.finish()
        except StoreError as error:
            failures += 1
            assert "No space left on device" in str(error)  # noqa: PT017
            assert str(partial_path(out)) in str(error) or str(out) in str(error)  # noqa: PT017
        else:
            break
        finally:
            monkeypatch.setattr(journal, "_write_at", write_at)
        found = entries_of(out)
        assert set(found) in (committed, committing)
        assert all(content == (values.ravel().tolist(), int(name[0])) for name, content in found.items())
    else:
        pytest.fail("the job never got through")
    assert failures > 10


def test_reading_an_unfinished_file_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    file = JournaledFile.create(path)
    file.write(b"a" * 10_000)
    file.commit()
    file.seek(4090)
    file.write(b"b" * 100)
    before_applying = path.read_bytes()
    file.seek(12_000)
    file.write(b"c")
    file.commit()
    committed = bytearray(path.read_bytes())
    path.write_bytes(before_applying + bytes(2000) + b"c" + b"tail")
    damaged = path.read_bytes()
    reader = JournaledFile.open_read_only(path)
    assert reader.size == 12_001
    assert reader.read(1 << 20) == committed
    assert not reader.writable()
    reader.close()
    assert path.read_bytes() == damaged
    file.close()


def test_a_damaged_or_foreign_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = JournaledFile.create(path)
    file.write(b"a" * 10_000)
    file.commit()
    file.close()
    good = journal_path(path).read_bytes()
    journal_path(path).write_bytes(good[:-1] + b"?")
    with pytest.raises(JournalError, match="damaged"):
        recover(path)
    journal_path(path).write_bytes(good)
    path.write_bytes(b"a" * 9999)
    with pytest.raises(JournalError, match="shorter"):
        recover(path)
