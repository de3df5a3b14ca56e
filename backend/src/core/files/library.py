"""Files of users: upload, look up, read, delete. Brings the catalogue and the store together, in an order that survives."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from core.config import FileSettings, LimitSettings
from core.errors import BodyTooLarge, FileEmpty, NotFound
from core.files.catalogue import Arrived, FileCatalogue, StoredBytes, StoredFile
from core.files.contents import FileContents
from core.files.file_name import clean_name
from core.files.media_type import HEAD_BYTES, media_type_of
from core.files.store import CHUNK_BYTES, FileMissing, FileStore
from core.files.user_files import Noted, UserFiles
from core.identity import Principal
from core.places import Places
from core.storage_errors import FileGone

log = structlog.get_logger(__name__)

Described = Callable[[], tuple[str, str]]
"""Returns the name and the media type that a client gives a file; asked once its bytes are there."""


class FileLibrary:
    """The files of a process' users.

    Args:
        engine: Of the process.
        store: Where the bytes are.
        settings: Limits of files.
        limits: Of everything that is stored.
        default_agent: The agent of threads without an id of one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        store: FileStore,
        settings: FileSettings,
        limits: LimitSettings,
        default_agent: str | None = None,
    ) -> None:
        self.settings: FileSettings = settings
        self.catalogue: FileCatalogue = FileCatalogue(engine, settings, limits, default_agent)
        self._engine = engine
        self._store = store
        self._uploads = Places(settings.max_uploads_per_user, settings.max_uploads)
        self._downloads = Places(settings.max_downloads_per_user, settings.max_downloads)
        self._looked_at = 0
        self._removed_to = 0

    def admit(self, principal: Principal) -> AbstractContextManager[None]:
        """Hold a place for an upload: the room that unfinished uploads take is bounded.

        Raises:
            RateLimited: The user has too many uploads under way.
            Overloaded: All users together have.
        """
        return self._uploads.hold(
            principal,
            too_many=f"A user may send {self._uploads.per_user} files at once. Send this one when one has ended.",
            full="Too many files are being sent. Try again soon.",
        )

    def admit_reader(self, principal: Principal) -> AbstractContextManager[None]:
        """Hold a place for a download: the memory and the connections to the store that downloads take are bounded.

        Raises:
            RateLimited: The user has too many downloads under way.
            Overloaded: All users together have.
        """
        return self._downloads.hold(
            principal,
            too_many=f"A user may read {self._downloads.per_user} files at once. Read this one when one has ended.",
            full="Too many files are being read. Try again soon.",
        )

    async def save(
        self,
        principal: Principal,
        chunks: AsyncIterator[bytes],
        described: Described,
        *,
        least_bytes: int = 0,
    ) -> tuple[StoredFile, bool]:
        """Store a file as it arrives; returns it, and whether it is new. No database connection is held meanwhile.

        Whatever goes wrong, nothing of it stays. An exception of ``chunks`` passes through unchanged.

        Raises:
            FileQuotaExceeded, StorageQuotaExceeded: The user has no room for it.
            BodyTooLarge: The file has more than ``max_file_bytes``.
            FileEmpty: It has no bytes.
            FilesUnavailable: The store does not take it.
        """
        pending = await self.catalogue.begin(principal, least_bytes)
        try:
            measured = _Measured(chunks, self.settings.max_file_bytes)
            await self._store.put(pending.name_in_store, measured.chunks())
            name, claimed = described()
            arrived = Arrived(
                measured.digest.digest(),
                media_type_of(bytes(measured.head), claimed),
                clean_name(name),
                measured.size,
            )
            file, is_new = await self.catalogue.finish(principal, pending, arrived)
        except Exception:
            # Also if the outcome of the last statement is unknown: what became a file is not given up. After a
            # cancellation the store may still be at work, so the row stays, and the chore discards it later.
            await self.discard(pending)
            raise
        if not is_new:
            await self.discard(pending)
        return file, is_new

    async def receive(self, principal: Principal, chunks: AsyncIterator[bytes]) -> StoredBytes:
        """Store bytes that become a file later, in the transaction of the caller; until then nobody sees them.

        Raises:
            FileQuotaExceeded: The user has as many files as are allowed.
            FilesUnavailable: The store does not take them.
        """
        pending = await self.catalogue.begin(principal, 0)
        try:
            await self._store.put(pending.name_in_store, chunks)
        except Exception:
            await self.discard(pending)
            raise
        return pending

    async def get(self, principal: Principal, file_id: str) -> StoredFile:
        """Return a file of the user.

        Raises:
            FileGone: The user had it, and a message still names it.
            NotFound: The user has no such file.
        """
        found = await self.catalogue.find(principal, [file_id])
        if file_id not in found:
            if await self.catalogue.was_deleted(principal, file_id):
                raise FileGone(self._gone())
            raise NotFound("No such file.")
        return found[file_id]

    def _gone(self) -> str:
        days = self.settings.retention_days
        time = "a day" if days == 1 else f"{days} days"
        kept = f", or because nobody used it for {time}" if days else ""
        return f"The file was deleted, by its owner{kept}. Upload it again to use it."

    async def open(self, file: StoredFile, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes of a file from ``start`` up to ``end``. All errors are raised before the iterator exists.

        Raises:
            NotFound: The file was deleted meanwhile.
            FilesUnavailable: The store does not answer.
        """
        chunks = self._store.read(file.name_in_store, start, end)
        try:
            first = await anext(chunks, b"")
        except FileMissing as exc:
            raise NotFound("No such file.") from exc
        return _rest(first, chunks)

    async def delete(self, principal: Principal, file_id: str) -> None:
        """Delete a file of the user: it is absent at once, and its bytes go with this call or with the chore.

        Raises:
            NotFound: The user has no such file.
        """
        marked = await self.catalogue.mark_deleted(principal, file_id)
        if not marked:
            raise NotFound("No such file.")
        await self.remove(marked)

    async def remove(self, marked: Iterable[StoredBytes]) -> int:
        """Remove the bytes of deleted files, up to the first one that fails; returns how many are gone. Raises nothing.

        The chore does what stays: a store that failed once is not asked for the others now.
        """
        gone: list[int] = []
        try:
            for leaving in marked:
                await self._store.delete(leaving.name_in_store)
                gone.append(leaving.id)
        except Exception as exc:  # noqa: BLE001  the row stays, so the bytes are not forgotten
            log.warning("file_not_removed", error=type(exc).__name__)
        if not gone:
            return 0
        try:
            await self.catalogue.forget(gone)
        except Exception as exc:  # noqa: BLE001  rows without bytes: removed again, which is no error
            log.warning("files_not_forgotten", error=type(exc).__name__, files=len(gone))
            return 0
        return len(gone)

    async def erase(self, principal: Principal, note: Noted) -> bool:
        """Remove every file of a user: bytes first, then rows.

        Args:
            principal: Whose.
            note: Told in the transaction that deletes rows how many files, and how many names of them in threads.

        Returns:
            False if an upload that has begun may still write bytes: its row stays until the time of uploads is over.

        Raises:
            FilesUnavailable: The store does not answer.
        """
        files = UserFiles(self._engine, principal, self.settings.upload_seconds)
        await files.mark()
        while leaving := await files.leaving():
            for each in leaving:
                await self._store.delete(each.name_in_store)
            await files.forget([each.id for each in leaving], note)
        return not await files.any_left()

    async def take_back(self, principal: Principal, files: Iterable[StoredFile]) -> None:
        """Delete files that were just stored and that nobody has named or sent since, best effort."""
        try:
            await self.remove(await self.catalogue.take_back(principal, files))
        except Exception as exc:  # noqa: BLE001  they expire
            log.warning("files_not_taken_back", error=type(exc).__name__)

    def contents(self) -> FileContents:
        """Return the reader of whole files, for requests to models."""
        return FileContents(self.catalogue, self._store, self.settings.max_request_bytes)

    async def clean_up(self) -> int:
        """Delete what expired, and the bytes of deleted files; returns how many files are gone."""
        while await self.catalogue.expire():
            # A marked row expires no second time, so this ends. One batch a turn would fall behind many uploads.
            pass
        self._looked_at = await self.catalogue.find_unnamed(self._looked_at)
        gone = 0
        while leaving := await self.catalogue.leaving(self._removed_to):
            removed = await self.remove(leaving)
            gone += removed
            if removed < len(leaving):
                # The next turn goes on behind what failed, so that one file cannot keep the bytes of all others.
                self._removed_to = leaving[removed].id
                break
            self._removed_to = leaving[-1].id
        else:
            self._removed_to = 0
        await self._store.tidy(2 * self.settings.upload_seconds + 3600)
        return gone

    async def discard(self, pending: StoredBytes) -> None:
        """Take back an upload that did not become a file, best effort. What became a file stays."""
        try:
            if await self.catalogue.give_up(pending):
                await self.remove([pending])
        except Exception as exc:  # noqa: BLE001  the chore does it
            log.warning("upload_not_discarded", error=type(exc).__name__)


class _Measured:
    """Chunks of a file on their way into the store: counted, hashed off the event loop, and all of one size."""

    def __init__(self, chunks: AsyncIterator[bytes], max_bytes: int) -> None:
        self.size: int = 0
        self.head: bytearray = bytearray()
        self.digest = hashlib.sha256()
        self._chunks = chunks
        self._max_bytes = max_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        gathered = bytearray()
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._max_bytes:
                raise BodyTooLarge(
                    f"The file may have at most {self._max_bytes} bytes.", maxBytes=self._max_bytes
                )
            if len(self.head) < HEAD_BYTES:
                self.head += chunk[: HEAD_BYTES - len(self.head)]
            gathered += chunk
            if len(gathered) >= CHUNK_BYTES:
                yield await self._hashed(gathered)
                gathered = bytearray()
        if not self.size:
            raise FileEmpty("The file is empty.")
        if gathered:
            yield await self._hashed(gathered)

    async def _hashed(self, gathered: bytearray) -> bytes:
        whole = bytes(gathered)
        await asyncio.to_thread(self.digest.update, whole)
        return whole


async def _rest(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk
