"""A file store in memory, for tests of what uses a store. One contract with the real ones: ``test_file_stores.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator

from core.errors import FilesUnavailable
from core.files.store import READ_BYTES, FileMissing, try_out


class MemoryStore:
    """Keeps the promises of ``FileStore`` until the process ends."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.is_down: bool = False
        """Every call fails."""

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """See ``FileStore.put``."""
        self._refuse_if_down()
        content = b"".join([chunk async for chunk in chunks])
        self._refuse_if_down()
        assert name not in self.content, "a name is used once"
        self.content[name] = content

    async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See ``FileStore.read``."""
        self._refuse_if_down()
        if name not in self.content:
            raise FileMissing
        content = self.content[name][start:end]
        for place in range(0, len(content), READ_BYTES):
            yield content[place : place + READ_BYTES]

    async def delete(self, name: str) -> None:
        """See ``FileStore.delete``."""
        self._refuse_if_down()
        self.content.pop(name, None)

    async def check(self) -> None:
        """See ``FileStore.check``."""
        await try_out(self)

    async def tidy(self, older_than_seconds: float) -> None:
        """Nothing to do."""

    def _refuse_if_down(self) -> None:
        if self.is_down:
            raise FilesUnavailable("The file store cannot be used now. Try again later.")
