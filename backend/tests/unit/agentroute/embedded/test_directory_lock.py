"""Tests of the one owner of a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentroute.embedded.directory_lock import DirectoryInUseError, DirectoryLock


def test_a_second_owner_is_refused_and_told_about_the_first(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path)
    first.acquire()
    first.note("http://127.0.0.1:8000")

    with pytest.raises(DirectoryInUseError) as caught:
        DirectoryLock(tmp_path).acquire()

    assert caught.value.note == "http://127.0.0.1:8000"
    first.release()


def test_a_released_directory_is_free_and_the_old_note_is_gone(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path)
    first.acquire()
    first.note("a long note of the first owner")
    first.release()
    first.release()

    second = DirectoryLock(tmp_path)
    second.acquire()
    second.acquire()
    with pytest.raises(DirectoryInUseError) as caught:
        first.acquire()

    assert caught.value.note == ""
    second.release()
