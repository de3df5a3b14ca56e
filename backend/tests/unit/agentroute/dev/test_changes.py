"""Which files of a developer's folder count as changed."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import watchfiles
from tests.support.limits import HUNG_SECONDS
from watchfiles._rust_notify import WatchfilesRustInternalError

from agentroute.dev import changes
from agentroute.dev.changes import ChangedFiles

LAYOUT = (
    "agent.py",
    "prompts/execution.md",
    "agent.toml",
    ".env",
    "notes.txt",
    ".venv/x.py",
    "env/lib/x.py",
    "data/x.py",
)


@pytest.fixture(autouse=True)
def _no_thread_goes_on() -> Iterator[None]:
    """No thread of a test outlives it, and meets what the next one has patched."""
    yield
    for thread in threading.enumerate():
        if thread.name == "changed-files":
            thread.join(HUNG_SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*LAYOUT, "env/pyvenv.cfg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before", encoding="utf-8")
    return tmp_path


@pytest.fixture
def heard() -> threading.Event:
    return threading.Event()


@pytest.fixture
def files(folder: Path, heard: threading.Event) -> Iterator[ChangedFiles]:
    with ChangedFiles(folder, heard.set, left_out=folder / "data", say=lambda _line: None) as files:
        yield files


def test_only_contents_of_the_developer_s_own_files_count(folder: Path, files: ChangedFiles) -> None:
    for name in LAYOUT:
        (folder / name).write_text("after", encoding="utf-8")
    (folder / "new.md").touch()
    files.look_again()
    assert {str(path) for path in files.take()} == {
        "agent.py",
        "prompts/execution.md",
        "agent.toml",
        ".env",
        "new.md",
    }

    # Written again as it was; and a file that is gone.
    (folder / "agent.py").write_text("after", encoding="utf-8")
    (folder / "new.md").unlink()
    files.look_again()
    assert files.take() == [Path("new.md")]
    assert files.take() == []


def test_a_look_walks_once_and_rests_a_hundred_times_as_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[Path] = []
    now, rounds = [0.0], iter([set[str](), set[str](), {"agent.py"}, set[str]()])
    walk = os.walk

    def slow_walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        walks.append(top)
        now[0] += 2.0
        return walk(top)

    def told(*_folders: Path, **_options: object) -> Iterator[set[str]]:
        looks: list[int] = []
        for each in rounds:
            now[0] += 150.0
            yield each
            looks.append(len(walks))
        # Not yet; after 300 s; a change, at once; not yet again.
        assert looks == [1, 2, 3, 3]

    monkeypatch.setattr(os, "walk", slow_walk)
    monkeypatch.setattr(watchfiles, "watch", told)
    files = ChangedFiles(
        folder, lambda: None, left_out=folder / "data", say=lambda _line: None, clock=lambda: now[0]
    )
    files._seen = files._look()
    files._watch_folders()

    assert next(rounds, None) is None


def test_many_folders_are_told_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_MANY_FOLDERS", 1)
    lines: list[str] = []
    with ChangedFiles(folder, lambda: None, left_out=folder / "data", say=lines.append):
        (line,) = lines
    assert line.startswith("warning: 2 folders are watched for changes")


def test_the_system_tells_of_a_change_also_in_a_folder_that_is_new(
    folder: Path, files: ChangedFiles, heard: threading.Event
) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "tools.py").write_text("x = 1", encoding="utf-8")

    assert heard.wait(HUNG_SECONDS)
    assert files.take() == [Path("shop/tools.py")]


def test_a_folder_that_goes_before_it_is_watched_is_not_watched_for_again(
    folder: Path, heard: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    watched_again = threading.Event()
    watch = watchfiles.watch

    def late(*folders: Path, **options: Any) -> Iterator[Any]:
        calls.append(len(folders))
        if len(calls) == 1:
            shutil.rmtree(folder / "prompts")
        else:
            watched_again.set()
        return watch(*folders, **options)

    monkeypatch.setattr(watchfiles, "watch", late)
    # Only where files are looked at does it matter: the system does not mind a folder that is gone.
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    with ChangedFiles(folder, heard.set, left_out=folder / "data", say=lambda _line: None) as files:
        assert heard.wait(HUNG_SECONDS)
        assert files.take() == [Path("prompts/execution.md")]
        assert watched_again.wait(HUNG_SECONDS)
    assert calls[1] == calls[0] - 1


def test_the_end_waits_for_the_thread(folder: Path, files: ChangedFiles) -> None:
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "changed-files"]
    files.__exit__()
    thread.join(HUNG_SECONDS)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        # The library's own kind, which is no OSError.
        WatchfilesRustInternalError("Error creating recommended watcher: Too many open files (os error 24)"),
    ],
)
def test_where_the_system_cannot_tell_of_changes_files_are_looked_at(
    folder: Path, heard: threading.Event, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    watch = watchfiles.watch

    def refused(*folders: Path, force_polling: bool | None, **options: Any) -> Iterator[Any]:
        if not force_polling:
            raise error
        return watch(*folders, force_polling=True, **options)

    monkeypatch.setattr(watchfiles, "watch", refused)
    lines: list[str] = []
    with ChangedFiles(folder, heard.set, left_out=folder / "data", say=lines.append) as files:
        (folder / "agent.py").write_text("after", encoding="utf-8")
        assert heard.wait(HUNG_SECONDS)
        assert files.take() == [Path("agent.py")]
    assert lines == [
        f"warning: the system does not tell of changed files ({error}); they are looked at instead"
    ]


def test_no_fault_ends_the_looks(
    folder: Path, heard: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([RuntimeError("first"), RuntimeError("second"), RuntimeError("second")])
    tried = threading.Event()

    def broken(*_folders: Path, **_options: Any) -> Iterator[Any]:
        if (fault := next(faults, None)) is not None:
            raise fault
        tried.set()
        raise RuntimeError("second")

    def on_change() -> None:
        heard.set()
        raise OSError("nobody listens")

    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        raise BrokenPipeError("no terminal")

    monkeypatch.setattr(changes, "_LOOK_MILLISECONDS", 10)
    monkeypatch.setattr(watchfiles, "watch", broken)
    with ChangedFiles(folder, on_change, left_out=folder / "data", say=say) as files:
        assert tried.wait(HUNG_SECONDS)
        for text in ("once", "twice"):
            (folder / "agent.py").write_text(text, encoding="utf-8")
            assert heard.wait(HUNG_SECONDS)
            assert files.take() == [Path("agent.py")]
            heard.clear()
    assert sum("(first)" in line for line in lines) == 1


def test_a_folder_that_is_there_again_is_watched_again(
    folder: Path, heard: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_LOOK_MILLISECONDS", 10)
    away = folder.with_name(f"{folder.name}-away")
    own = {Path(name) for name in LAYOUT[:4]}
    with ChangedFiles(folder, heard.set, left_out=folder / "data", say=lambda _line: None) as files:
        for before, after in ((folder, away), (away, folder)):
            before.rename(after)
            taken: set[Path] = set()
            while taken != own:
                assert heard.wait(HUNG_SECONDS)
                heard.clear()
                taken |= set(files.take())
