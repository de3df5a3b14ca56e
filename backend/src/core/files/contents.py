"""The bytes of files for requests to models: read from the store when a request leaves, and kept for a while in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from core.files.catalogue import FileCatalogue
from core.files.store import FileMissing, FileStore
from core.identity import Principal

_CACHE_BYTES = 64 << 20
"""A run asks the model several times with the same files."""


class FileContents:
    """Reads whole files for a worker process.

    Whether a file still exists is asked each time: what its user deleted is not given to a model any more.

    Args:
        catalogue: Of the process.
        store: Where the bytes are.
        max_bytes: Of all files of one request together.
    """

    def __init__(self, catalogue: FileCatalogue, store: FileStore, max_bytes: int) -> None:
        self._catalogue = catalogue
        self._store = store
        self._max_bytes = max_bytes
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._reading: dict[str, asyncio.Task[bytes | None]] = {}

    async def load(self, principal: Principal, file_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Return the bytes of those files that the user has, by id; the first ones count if they are too much together.

        ``None`` stands for a file that has no room. A file that does not exist is not in the answer.

        Raises:
            FilesUnavailable: The store does not answer.
        """
        known = await self._catalogue.find(principal, file_ids)
        loaded: dict[str, bytes | None] = {}
        left = self._max_bytes
        for file_id in file_ids:
            file = known.get(file_id)
            if file is None or file_id in loaded:
                continue
            if file.bytes > left:
                loaded[file_id] = None
                continue
            content = await self._read(file.name_in_store)
            if content is not None:
                left -= file.bytes
                loaded[file_id] = content
        return loaded

    async def _read(self, name: str) -> bytes | None:
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name]
        # Runs that begin together ask for the same file: it is read once, and whoever goes away stops nobody else.
        reading = self._reading.get(name)
        if reading is None:
            reading = self._reading[name] = asyncio.create_task(self._fetch(name))
            reading.add_done_callback(lambda done: self._end(name, done))
        return await asyncio.shield(reading)

    def _end(self, name: str, done: asyncio.Task[bytes | None]) -> None:
        del self._reading[name]
        if not done.cancelled():
            # Nobody may be waiting any more.
            done.exception()

    async def _fetch(self, name: str) -> bytes | None:
        try:
            content = b"".join([chunk async for chunk in self._store.read(name)])
        except FileMissing:
            # Deleted since, or a store that lost it.
            return None
        if len(content) <= _CACHE_BYTES // 4:
            self._cache[name] = content
            self._cached_bytes += len(content)
        while self._cached_bytes > _CACHE_BYTES:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= len(oldest)
        return content
