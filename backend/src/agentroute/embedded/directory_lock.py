"""One live owner for a data directory, across processes and containers that share its disk."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DirectoryInUseError(Exception):
    """Another live process owns the directory. ``note`` is the text that this process left."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


class DirectoryLock:
    """A lock on a directory. The kernel releases the lock when the process ends in any way."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or keep it when it is held by this object.

        Raises:
            DirectoryInUseError: Another process holds the lock.
            OSError: The lock file cannot be created.
        """
        if self._descriptor is not None:
            return
        # Never inherited: a child that outlives its parent must not keep the lock.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode(errors="replace").strip()
            os.close(descriptor)
            raise DirectoryInUseError(holder) from None
        self._descriptor = descriptor
        self.note("")

    def note(self, text: str) -> None:
        """Write a note for processes that do not get the lock. The lock must be held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Give the lock up. Does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
