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
    files._watch_folders(polling=False)

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
