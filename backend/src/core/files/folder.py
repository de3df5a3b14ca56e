"""Files in a folder: the store of embedded mode, and of services on one machine or one shared file system.

An upload is written beside its place, synchronised with the disk, and then renamed: it is there as a whole or not at
all, also after the power fails.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import structlog

from core.errors import FilesUnavailable
from core.files.store import READ_BYTES, FileMissing, try_out

log = structlog.get_logger(__name__)

T = TypeVar("T")
_PARTS = "uploads"
"""Where uploads grow."""


class FolderStore:
    """A store in a directory, which is made if it does not exist.

    Args:
        root: The directory; only this service writes there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts = root / _PARTS

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """See ``FileStore.put``."""
        part, place = self._parts / name.rpartition("/")[2], self._root / name
        file = await _in_thread(self._open_part, part)
        try:
            try:
                async for chunk in chunks:
                    await _in_thread(_write, file, chunk)
                await _in_thread(_publish, file, part, place)
            finally:
                file.close()
        except BaseException:
            await asyncio.shield(_in_thread(part.unlink, True))
            raise

    async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See ``FileStore.read``."""
        file = await _in_thread(self._open_at, self._root / name, start)
        try:
            left = None if end is None else end - start
            while left is None or left > 0:
                chunk = await _in_thread(file.read, READ_BYTES if left is None else min(READ_BYTES, left))
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk
        finally:
            file.close()

    async def delete(self, name: str) -> None:
        """See ``FileStore.delete``."""
        await _in_thread(self._unlink, self._root / name)

    async def check(self) -> None:
        """See ``FileStore.check``."""
        await try_out(self)

    async def tidy(self, older_than_seconds: float) -> None:
        """See ``FileStore.tidy``."""
        await _in_thread(_remove_older, self._parts, time.time() - older_than_seconds)

    def _open_part(self, part: Path) -> BinaryIO:
        # Private: the files are of many users.
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._parts.mkdir(exist_ok=True, mode=0o700)
        return part.open("xb", buffering=0)

    def _open_at(self, path: Path, start: int) -> BinaryIO:
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError as exc:
            self._look_for_folder()
            raise FileMissing from exc
        file.seek(start)
        return file

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            self._look_for_folder()

    def _look_for_folder(self) -> None:
        """Fail if the whole folder is not there: moved, or not mounted. Then no file in it counts as missing."""
        self._parts.stat()


async def _in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Do blocking work off the event loop. The work is over when this returns, also if the caller is cancelled."""
    work = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        # A thread cannot be stopped: the file must not be closed or removed under its hands.
        await asyncio.wait([work])
        raise
    except OSError as exc:
        log.warning("file_store_failed", error=type(exc).__name__, text=exc.strerror)
        raise FilesUnavailable("The file store cannot be used now. Try again later.") from exc


def _write(file: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _publish(file: BinaryIO, part: Path, place: Path) -> None:
    os.fsync(file.fileno())
    made = [folder for folder in (place.parent.parent, place.parent) if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part.rename(place)
    # The names are durable only after the folders that hold them are.
    for folder in {place.parent, *(folder.parent for folder in made)}:
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_older(folder: Path, before: float) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        # An upload that ends meanwhile takes its part away.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
