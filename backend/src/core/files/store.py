"""The port of file stores: bytes under names that are written once. Who may read them stands in Postgres (``catalogue``).

A name is used for one upload and never again, so a store needs no locks: nothing is overwritten, and a deletion never
meets newer bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Protocol

from core.errors import FilesUnavailable

CHUNK_BYTES = 1 << 20
"""Of one write: what an upload holds in memory, about twice."""
READ_BYTES = 256 << 10
"""Of one read: what a download holds in memory, about twice."""


class FileMissing(Exception):
    """The store has no bytes under a name. Internal: a caller decides what it means."""


class FileStore(Protocol):
    """A folder, or a bucket. All methods leave the event loop free."""

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write bytes under a new name: all of them, durably, or none.

        An exception of ``chunks`` passes through unchanged, and leaves nothing that can be read.

        Raises:
            FilesUnavailable: The store does not answer, or has no room.
        """
        ...

    def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` up to, without, ``end``. Nothing is opened before the first one is asked for.

        Raises:
            FileMissing: There are none under this name.
            FilesUnavailable: The store does not answer.
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove the bytes. It is no error if there are none.

        Raises:
            FilesUnavailable: The store does not answer.
        """
        ...

    async def check(self) -> None:
        """Write, read and remove a few bytes.

        Raises:
            FilesUnavailable: One of these failed; the detail says what, for the operator.
        """
        ...

    async def tidy(self, older_than_seconds: float) -> None:
        """Remove what broken uploads of dead processes left behind, if the store does not do so by itself."""
        ...


async def try_out(store: FileStore) -> None:
    """Do what :meth:`FileStore.check` promises, with the other methods."""

    async def few() -> AsyncIterator[bytes]:
        yield b"agentroute"

    name = new_name("check")
    await store.put(name, few())
    try:
        found = b"".join([chunk async for chunk in store.read(name, 5)])
    except FileMissing:
        raise FilesUnavailable("The store does not have what was just written.") from None
    finally:
        await store.delete(name)
    if found != b"route":
        raise FilesUnavailable("The store gives back other bytes than were written.")


def new_name(owner: str) -> str:
    """Return a name that no other upload has, below its owner: two levels, so that no folder gets too large."""
    name = uuid.uuid4().hex
    return f"{owner}/{name[:2]}/{name}"
